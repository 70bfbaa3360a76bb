//! Generated nodes: the links, addresses, routes, rules and nexthop objects that people configure.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::law::Peer;

/// xorshift64: the same nodes for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 0 to `sides` - 1.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % sides
    }
}

const LINKS: &str = "
for l in a b c; do
  ip link add ${l}0 type veth peer name ${l}1
  for e in 0 1; do echo 0 > /proc/sys/net/ipv6/conf/$l$e/accept_dad; ip link set $l$e up; done
done
ip addr add 10.1.0.1/24 dev a0; ip addr add fd01::1/64 dev a0 nodad
ip addr add 10.1.0.2/24 dev b0 metric 50; ip addr add fd02::1/64 dev b0 nodad
ip addr add 10.3.0.1 peer 10.3.0.9/32 dev c0; ip addr add 10.9.9.9/32 dev lo; ip addr add fd09::9/128 dev lo nodad
";

/// What a node may have. Some settings need others, and fail without them: a node has what its kernel accepted.
const SETTINGS: &[&str] = &[
    "route add default via 10.1.0.254 dev a0",
    "route add default via 10.1.0.253 dev b0 metric 77",
    "route add default via 192.0.2.1 dev c0 onlink metric 5",
    "route add default dev c0 metric 99",
    "route add 10.20.0.0/16 via 10.1.0.254 dev a0",
    "route add 10.20.1.0/24 via inet6 fe80::99 dev b0",
    "route add 10.20.1.0/24 via inet6 fd01::fe dev a0 metric 9",
    "route add 10.20.2.0/24 dev c0 scope link",
    "route add 10.20.3.0/24 dev a0 scope global",
    "route add 10.20.3.7/32 dev b0",
    "route add 10.20.4.0/24 nexthop via 10.1.0.254 dev a0 nexthop via 10.1.0.253 dev b0",
    "route add 10.20.4.0/24 metric 3 nexthop dev a0 nexthop dev c0",
    "route add blackhole 10.20.5.0/24",
    "route add unreachable 10.20.6.0/24",
    "route add prohibit 10.20.7.0/24",
    "route add throw 10.20.8.0/24",
    "route add 10.20.9.0/24 dev lo",
    "route add local 10.20.10.0/24 dev lo",
    "route add 10.20.11.0/24 encap ip id 5 dst 192.0.2.9 via 10.1.0.254 dev a0",
    "nexthop add id 5 via 10.1.0.254 dev a0",
    "nexthop add id 6 group 5",
    "nexthop add id 7 via 10.1.0.250 dev a0",
    "nexthop add id 8 group 5/7",
    "nexthop add id 9 via fd01::fe dev a0",
    "nexthop add id 10 dev b0",
    "route add 10.20.12.0/24 nhid 5",
    "route add 10.20.13.0/24 nhid 6",
    "route add 10.20.14.0/24 nhid 8",
    "route add 10.20.14.0/24 nhid 10 metric 3",
    "route add 10.20.15.0/24 via 10.77.0.1 dev b0 onlink",
    "route add 10.20.15.0/24 via 10.1.0.5 dev b0 metric 3",
    "route add 10.1.0.5/32 via 10.1.0.6 dev a0",
    "route add 10.1.0.6/32 via 10.1.0.6 dev a0 onlink",
    "route add 10.20.16.0/24 via 10.1.0.252 dev a0 table 100",
    "route add 10.20.17.0/24 dev c0 table 100",
    "rule add to 10.20.16.0/23 lookup 100 pref 100",
    "route add default via 10.1.0.251 dev b0 table 101",
    "rule add from 10.1.0.1 lookup 101 pref 101",
    "rule add fwmark 1 lookup 101 pref 102",
    "rule add uidrange 1000-2000 lookup 101 pref 103",
    "rule add to 10.20.18.0/24 prohibit pref 104",
    "addr add 10.20.19.7/32 dev b0",
    "addr add 10.20.20.1/24 dev b0 noprefixroute",
    "route add 10.20.20.254 dev b0 scope link",
    "route add 10.20.21.0/24 via 10.20.20.254 dev b0",
    "-6 route add default via fe80::98 dev a0 metric 1024",
    "-6 route add default via fe80::97 dev b0 metric 512",
    "-6 route add fd20:1::/64 via fd01::fe dev a0",
    "-6 route add fd20:2::/64 via fe80::99 dev b0",
    "-6 route add fd20:3::/64 dev c0",
    "-6 route add fd20:4::/64 nexthop via fd01::fe dev a0 nexthop via fe80::99 dev b0",
    "-6 route add blackhole fd20:5::/64",
    "-6 route add unreachable fd20:6::/64",
    "-6 route add prohibit fd20:7::/64",
    "-6 route add fd20:8::/64 nhid 9",
    "-6 route add local fd20:9::/64 dev lo",
    "-6 route add fd20:a::/64 via fd77::1 dev b0 onlink",
    "-6 route add fd20:b::/64 via fd02::5 dev b0",
    "-6 route add fd20:c::/64 via fd01::fc dev a0 table 100",
    "-6 rule add to fd20:c::/64 lookup 100 pref 100",
    "-6 rule add from fd01::1 lookup 101 pref 101",
    "-6 route add default via fd01::fb dev a0 table 101",
    "-6 route add fd01::/64 via fe80::96 dev b0 metric 9",
];

/// What may happen later.
const EVENTS: &[&str] = &[
    "link set a0 down",
    "link set a0 up",
    "link set b0 down",
    "link set b0 up",
    "link set b1 down",
    "link set b1 up",
    "link set c1 down",
    "link set c1 up",
    "nexthop replace id 5 via 10.1.0.249 dev a0",
    "nexthop replace id 5 via 10.1.0.248 dev b0",
    "nexthop del id 7",
    "nexthop replace id 8 group 7",
    "nexthop replace id 9 via fe80::95 dev b0",
    "addr del 10.1.0.1/24 dev a0",
    "addr add 10.1.0.1/24 dev a0 noprefixroute",
    "addr add 10.1.0.1/24 dev a0",
    "addr add fd01::1/64 dev a0 nodad",
    "addr add 10.1.0.2/24 dev b0 metric 50",
    "addr add fd02::1/64 dev b0 nodad",
    "addr add 10.20.1.7/32 dev lo",
    "addr del 10.20.1.7/32 dev lo",
    "addr add 10.1.0.5/32 dev lo",
    "addr del 10.1.0.5/32 dev lo",
    "route flush table 100",
    "rule del pref 100",
    "rule del pref 101",
    "rule del pref 104",
    "-6 rule del pref 100",
    "route del default",
    "route del 10.20.0.0/16",
    "route del 10.20.4.0/24",
    "route del 10.20.15.0/24",
    "route del 10.1.0.5/32",
    "route replace 10.20.2.0/24 via 10.1.0.254 dev a0",
    "route replace 10.20.12.0/24 via 10.1.0.247 dev a0",
    "-6 route del default",
    "-6 route del fd20:4::/64",
    "-6 route replace fd20:1::/64 via fe80::94 dev b0",
];

/// A batch for `ip`, each line independent of the others.
fn batch(lines: &[&str]) -> String {
    lines.iter().fold(String::new(), |mut script, line| {
        let _ = writeln!(script, "ip {line} 2>/dev/null || :");
        script
    })
}

fn pick<'a>(dice: &mut Dice, from: &[&'a str], one_of: usize) -> Vec<&'a str> {
    from.iter().copied().filter(|_| dice.roll(one_of) == 0).collect()
}

/// A node at its start.
pub(super) fn arrange(dice: &mut Dice) -> String {
    let settings = batch(&pick(dice, SETTINGS, 2));
    let compat = if dice.roll(2) == 0 { "echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode\n" } else { "" };
    let linkdown =
        if dice.roll(2) == 0 { "echo 1 > /proc/sys/net/ipv4/conf/all/ignore_routes_with_linkdown\n" } else { "" };
    format!("{LINKS}{compat}{linkdown}{settings}")
}

/// What happens to it later: a few changes at once.
pub(super) fn happen(dice: &mut Dice) -> String {
    let events = pick(dice, EVENTS, 6);
    let settings = pick(dice, SETTINGS, 8);
    batch(&[events, settings].concat())
}

/// Peers with one to three addresses of each family, in all the subnets of the nodes' routes.
pub(super) fn peers(dice: &mut Dice) -> Vec<Peer> {
    let v4 = ["10.1.0.5", "10.1.0.6", "10.1.0.254", "10.3.0.9", "10.9.9.9", "172.31.0.77", "203.0.113.7", "10.1.0.255"];
    let v4: Vec<String> =
        v4.map(str::to_owned).into_iter().chain((0..=21).map(|third| format!("10.20.{third}.7"))).collect();
    let v6 = ["fd01::5", "fd02::5", "fd31::77", "fd09::9", "2001:db8::7", "fd01::fe"];
    let v6: Vec<String> =
        v6.map(str::to_owned).into_iter().chain((1..=12).map(|third| format!("fd20:{third:x}::7"))).collect();
    let mut several = |from: &[String], first: usize| {
        let mut addresses: Vec<IpAddr> =
            from.get(first % from.len()).into_iter().flat_map(|text| text.parse()).collect();
        for _ in 0..dice.roll(3) {
            addresses.extend(from[dice.roll(from.len())].parse::<IpAddr>());
        }
        addresses
    };
    let peer = |number: usize| Peer {
        name: format!("peer-{number:02}"),
        addresses: [several(&v4, number), several(&v6, number)].concat(),
        cidrs: [format!("10.245.{number}.0/24"), format!("fd00:10:245:{number:x}::/64")],
    };
    (1..=v4.len()).map(peer).collect()
}

//! One line per verdict: a cluster of good nodes, one odd one, and what is said of it.

use std::time::Instant;

use netlink::{FibEntry, KernelError, Onward, RouteKind, Scope};
use nix::errno::Errno;

use super::*;
use crate::here::Link;
use crate::kernel::{Kernel, Refusal};
use crate::plan::Change;

/// n1 (10.0.0.1, fd00::1) on eth0; eth1 is down; a /32 on lo.
fn here() -> Here {
    let link = |name: &str, up| Link { name: name.into(), up, carrier: [up; 2], mtu: 1500 };
    let address = |index: u32, text: &str| (index, text.parse().unwrap());
    Here {
        links: [(1, link("lo", true)), (2, link("eth0", true)), (3, link("eth1", false))].into(),
        addresses: [
            address(1, "127.0.0.1/8"),
            address(1, "198.51.100.7/32"),
            address(2, "10.0.0.1/24"),
            address(2, "fd00::1/64"),
            address(3, "10.0.9.1/24"),
        ]
        .into(),
    }
}

/// What the kernel of that node answers, straight from a table.
struct Answers;

impl Kernel for Answers {
    fn here(&mut self) -> Result<Here, netlink::Error> {
        Ok(here())
    }

    fn routes(&mut self) -> Result<Routes, netlink::Error> {
        Ok(Routes::new())
    }

    fn entries(&mut self, addresses: &[IpAddr]) -> Result<Vec<Result<FibEntry, KernelError>>, netlink::Error> {
        Ok(addresses.iter().map(|address| answer(&address.to_string())).collect())
    }

    fn change(&mut self, _: &[Change]) -> Result<Vec<Result<(), Refusal>>, netlink::Error> {
        Ok(Vec::new())
    }

    fn holders(&mut self, _: &BTreeSet<Key>) -> Result<BTreeMap<Key, String>, netlink::Error> {
        Ok(BTreeMap::new())
    }
}

/// 192.0.2.2 lies straight on eth0 by a host route, 192.0.2.9 behind a router, others where their names say.
fn answer(address: &str) -> Result<FibEntry, KernelError> {
    let entry = |prefix, onward| FibEntry {
        family: Family::of(address.parse().unwrap()),
        prefix,
        kind: RouteKind::Unicast,
        table: 254,
        protocol: 2,
        scope: Scope::Link,
        by_object: false,
        onward,
    };
    let hop = |gateway: Option<&str>, onlink| Onward::Hop {
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        device: 2,
        onlink,
    };
    let refused = |errno| Err(KernelError { errno, text: String::new() });
    match address {
        "10.0.0.1" | "198.51.100.7" | "192.0.2.200" => {
            Ok(FibEntry { kind: RouteKind::Other(2), ..entry(32, hop(None, false)) })
        }
        "10.0.0.255" => Ok(FibEntry { kind: RouteKind::Other(3), ..entry(32, hop(None, false)) }),
        "192.0.2.2" => Ok(entry(32, hop(None, false))),
        "192.0.2.9" => Ok(entry(24, hop(Some("10.0.0.254"), false))),
        "192.0.2.10" => Ok(entry(24, hop(Some("172.16.0.254"), true))),
        "192.0.2.11" => Ok(entry(24, hop(Some("172.16.0.253"), false))),
        "192.0.2.12" => Ok(entry(24, hop(Some("fe80::9"), false))),
        "192.0.2.13" => Ok(entry(24, hop(Some("10.0.0.13"), false))),
        "192.0.2.14" => Ok(entry(24, Onward::Several)),
        "192.0.2.15" => Ok(entry(24, Onward::Encapsulated)),
        "192.0.2.16" => Ok(entry(24, Onward::Unread)),
        "192.0.2.17" => Ok(entry(24, Onward::Hop { gateway: None, device: 1, onlink: false })),
        "192.0.2.18" => Ok(entry(32, Onward::Hop { gateway: None, device: 77, onlink: false })),
        "192.0.2.19" => Ok(FibEntry { protocol: netlink::NODE_ROUTE, ..entry(24, hop(None, false)) }),
        "192.0.2.20" => refused(Errno::EINVAL),
        "192.0.2.21" => refused(Errno::EACCES),
        "192.0.2.22" => refused(Errno::EHOSTUNREACH),
        "192.0.2.23" => refused(Errno::ENOMEM),
        _ if address.starts_with("10.0.0.") => Ok(entry(24, hop(None, false))),
        _ if address.starts_with("fd00::") => Ok(entry(64, hop(None, false))),
        _ => refused(Errno::ENETUNREACH),
    }
}

fn node(name: &str, addresses: &[&str], cidrs: &[&str]) -> Node {
    Node::of(name, addresses, cidrs)
}

fn good() -> Vec<Node> {
    vec![
        node("n1", &["10.0.0.1", "fd00::1"], &["10.244.1.0/24", "fd00:10:244:1::/64"]),
        node("n2", &["10.0.0.2", "fd00::2"], &["10.244.2.0/24", "fd00:10:244:2::/64"]),
    ]
}

fn plan_for(nodes: Vec<Node>, by_routers: bool) -> Desired {
    let snapshot = Snapshot::new(nodes, Instant::now());
    let draining = BTreeSet::new();
    let (here, mut ways) = (here(), Ways::default());
    let asked = peer_addresses(&snapshot, "n1").collect();
    ways.ask(&asked, &here, &mut Answers).unwrap();
    let view = View { me: "n1", snapshot: &snapshot, here: &here, ways: &ways, draining: &draining, by_routers };
    desired(&view)
}

/// Adds `odd` to the good nodes and returns what is said of it; the good routes must be as they were.
fn said_of(odd: Node) -> Vec<String> {
    let name = odd.name.clone();
    let alone = plan_for(good(), false).routes;
    let desired = plan_for(good().into_iter().chain([odd]).collect(), false);
    for (key, target) in &alone {
        assert_eq!(desired.routes.get(key), Some(target), "the good route to {} is unharmed", key.destination);
    }
    desired.verdicts.iter().filter(|verdict| verdict.node == name).map(|verdict| verdict.ruling.to_string()).collect()
}

#[test]
fn good_nodes_are_direct_in_both_families_and_the_own_cidrs_unreachable() {
    let desired = plan_for(good(), false);
    let hop = |via: &str| Target::Hop { via: via.parse().unwrap(), link: 2, onlink: false };
    let expected: Routes = [
        (Key::own("10.244.1.0/24".parse().unwrap()), Target::Unreachable),
        (Key::own("fd00:10:244:1::/64".parse().unwrap()), Target::Unreachable),
        (Key::peer("10.244.2.0/24".parse().unwrap()), hop("10.0.0.2")),
        (Key::peer("fd00:10:244:2::/64".parse().unwrap()), hop("fd00::2")),
    ]
    .into();
    assert_eq!(desired.routes, expected);
}

#[test]
fn every_odd_node_gets_its_reason_and_harms_nobody() {
    let table: &[(&[&str], &[&str], &[&str])] = &[
        (&["192.0.2.9"], &["10.244.7.0/24"], &["skipped: 192.0.2.9 is in another segment, behind router 10.0.0.254"]),
        (&["203.0.113.1"], &["10.244.7.0/24"], &["skipped: 203.0.113.1 is in no segment that is reached"]),
        (&["10.0.9.7"], &["10.244.7.0/24"], &["skipped: 10.0.9.7 is on eth1, which is down"]),
        (&["fd00::7"], &["10.244.7.0/24"], &["skipped: it has no IPv4 InternalIP"]),
        (&["10.0.0.1"], &["10.244.7.0/24"], &["skipped: 10.0.0.1 is this node's own address"]),
        (&["198.51.100.7"], &["10.244.7.0/24"], &["skipped: 198.51.100.7 is this node's own address"]),
        (&["10.0.0.7"], &[], &["skipped: it has no pod CIDR (yet)"]),
        (&["10.0.0.7"], &["10.244.2.0/24"], &["skipped: n2 has the same CIDR"]),
        (&["10.0.0.7"], &["10.244.1.0/24"], &["skipped: it overlaps this node's pod CIDR 10.244.1.0/24"]),
        (&["10.0.0.7"], &["10.244.1.64/26"], &["skipped: it overlaps this node's pod CIDR 10.244.1.0/24"]),
        (&["10.0.0.7"], &["10.0.0.0/24"], &["skipped: it covers this node's 10.0.0.1/24"]),
        (&["10.0.0.7"], &["fd00::/64"], &["skipped: it covers this node's fd00::1/64"]),
        (&["10.0.0.7"], &["10.0.0.2/32"], &["skipped: it covers the address 10.0.0.2 of n2"]),
        (&["10.0.0.7"], &["198.51.100.0/24"], &["skipped: it covers this node's 198.51.100.7/32"]),
        (&["10.244.2.9"], &["10.244.7.0/24"], &["skipped: its address 10.244.2.9 lies in the pod CIDR of n2"]),
        (
            &["10.0.0.7"],
            &["10.244.7.1/24"],
            &["skipped: spec.podCIDRs[0] \"10.244.7.1/24\" has host bits set (did you mean 10.244.7.0/24?)"],
        ),
        (
            &["::ffff:10.0.0.7"],
            &["10.244.7.0/24"],
            &[
                "skipped: status.addresses[0] \"::ffff:10.0.0.7\" is an IPv4 address written as IPv6",
                "skipped: it has no IPv4 InternalIP",
            ],
        ),
        (&["192.0.2.2"], &["10.244.7.0/24"], &["via 192.0.2.2, on eth0 by a route of its own"]),
        (&["192.0.2.9", "10.0.0.7"], &["10.244.7.0/24"], &["direct via 10.0.0.7 on eth0"]),
        // Of its addresses, those that are ours too are left out.
        (&["10.0.0.1", "10.0.0.7"], &["10.244.7.0/24"], &["direct via 10.0.0.7 on eth0"]),
        (&["192.0.2.200", "192.0.2.2"], &["10.244.7.0/24"], &["via 192.0.2.2, on eth0 by a route of its own"]),
        (&["10.0.0.1", "192.0.2.200"], &["10.244.7.0/24"], &["skipped: 10.0.0.1 is this node's own address"]),
        // The gateway is the node itself.
        (&["192.0.2.13", "10.0.0.13"], &["10.244.7.0/24"], &["via 10.0.0.13, on eth0 by a route of its own"]),
        // What no route of ours can follow.
        (&["10.0.0.255"], &["10.244.7.0/24"], &["skipped: 10.0.0.255 is a broadcast, anycast or multicast address"]),
        (
            &["192.0.2.14"],
            &["10.244.7.0/24"],
            &[
                "skipped: 192.0.2.14 is reached by a route with several next hops (multipath), which podlan does not follow",
            ],
        ),
        (
            &["192.0.2.15"],
            &["10.244.7.0/24"],
            &[
                "skipped: 192.0.2.15 is reached by a route with encapsulation (a tunnel or label), which podlan does not follow",
            ],
        ),
        (
            &["192.0.2.16"],
            &["10.244.7.0/24"],
            &["skipped: 192.0.2.16 is reached by a route whose next hop podlan cannot read"],
        ),
        (&["192.0.2.17"], &["10.244.7.0/24"], &["skipped: 192.0.2.17 is routed to this node's loopback link"]),
        (&["192.0.2.18"], &["10.244.7.0/24"], &["skipped: 192.0.2.18 overlaps the pods: a pod of this node has it"]),
        (
            &["192.0.2.19"],
            &["10.244.7.0/24"],
            &["skipped: 192.0.2.19 overlaps a pod CIDR: the kernel reaches it by a route of podlan's own"],
        ),
        (&["192.0.2.20"], &["10.244.7.0/24"], &["skipped: 192.0.2.20 meets a blackhole route of this node"]),
        (&["192.0.2.21"], &["10.244.7.0/24"], &["skipped: 192.0.2.21 meets a prohibit route of this node"]),
        (&["192.0.2.22"], &["10.244.7.0/24"], &["skipped: 192.0.2.22 meets an unreachable route of this node"]),
        (
            &["192.0.2.23"],
            &["10.244.7.0/24"],
            &["skipped: 192.0.2.23 has an unknown next hop: the kernel answers ENOMEM: Out of memory"],
        ),
        // One address that leads nowhere does not hide the next.
        (&["192.0.2.20", "10.0.0.7"], &["10.244.7.0/24"], &["direct via 10.0.0.7 on eth0"]),
        // A CIDR around another's is no harm: the longer prefix wins in the kernel too.
        (&["10.0.0.7"], &["10.240.0.0/13"], &["skipped: it overlaps this node's pod CIDR 10.244.1.0/24"]),
        (&["10.0.0.7"], &["10.244.2.0/23"], &["direct via 10.0.0.7 on eth0"]),
    ];
    for (addresses, cidrs, expected) in table {
        assert_eq!(said_of(node("odd", addresses, cidrs)), *expected, "{addresses:?} {cidrs:?}");
    }
}

#[test]
fn of_two_nodes_with_one_cidr_the_first_by_name_has_it_and_one_that_cannot_be_reached_never() {
    let rival = |address: &str| said_of(node("a-rival", &[address], &["10.244.2.0/24"]));
    assert_eq!(rival("192.0.2.9"), ["skipped: 192.0.2.9 is in another segment, behind router 10.0.0.254"]);
    let both =
        plan_for(good().into_iter().chain([node("a-rival", &["10.0.0.9"], &["10.244.2.0/24"])]).collect(), false);
    let said = |name: &str| both.verdicts.iter().find(|verdict| &*verdict.node == name).unwrap().ruling.to_string();
    assert_eq!(said("a-rival"), "direct via 10.0.0.9 on eth0");
    assert_eq!(said("n2"), "skipped: a-rival has the same CIDR");
}

#[test]
fn the_same_name_twice_is_one_node() {
    for (addresses, cidrs) in [(&["10.0.0.9"][..], &["10.244.9.0/24"][..]), (&[], &["10.244.0.0/24"]), (&["x"], &[])] {
        let said = said_of(node("n2", addresses, cidrs));
        assert_eq!(said.last().unwrap(), "skipped: another node has its name", "{addresses:?} {cidrs:?}");
    }
}

#[test]
fn a_node_behind_a_router_is_routed_only_where_routers_know_the_pods() {
    let far = || vec![node("n1", &["10.0.0.1"], &["10.244.1.0/24"]), node("far", &["192.0.2.9"], &["10.244.9.0/24"])];
    let key = Key::peer("10.244.9.0/24".parse().unwrap());
    assert_eq!(plan_for(far(), false).routes.get(&key), None);
    let hop = Target::Hop { via: "10.0.0.254".parse().unwrap(), link: 2, onlink: false };
    assert_eq!(plan_for(far(), true).routes.get(&key), Some(&hop));
}

#[test]
fn a_route_by_a_router_goes_by_the_kernels_own_gateway_link_and_flag() {
    let table = [
        ("192.0.2.9", "10.0.0.254", false),
        ("192.0.2.10", "172.16.0.254", true),
        // The kernel took that gateway once and would not again: no route covers it now.
        ("192.0.2.11", "172.16.0.253", true),
        ("192.0.2.12", "fe80::9", false),
    ];
    for (address, via, onlink) in table {
        let far = vec![node("n1", &["10.0.0.1"], &["10.244.1.0/24"]), node("far", &[address], &["10.244.9.0/24"])];
        let hop = Target::Hop { via: via.parse().unwrap(), link: 2, onlink };
        let key = Key::peer("10.244.9.0/24".parse().unwrap());
        assert_eq!(plan_for(far, true).routes.get(&key), Some(&hop), "{address}");
    }
}

/// The uplink is down: IPv4 keeps its address without routes, IPv6 loses both.
#[test]
fn what_a_link_that_is_down_cuts_off_is_said_in_both_families() {
    let link = |name: &str, up| Link { name: name.into(), up, carrier: [up; 2], mtu: 1500 };
    let address = |index: u32, text: &str| (index, text.parse().unwrap());
    let here = Here {
        links: [(1, link("lo", true)), (2, link("eth0", false)), (5, link("eth9", false))].into(),
        addresses: [address(1, "127.0.0.1/8"), address(2, "10.0.0.1/24")].into(),
    };
    let snapshot = Snapshot::new(good(), Instant::now());
    let (mut ways, draining) = (Ways::default(), BTreeSet::new());
    ways.ask(&peer_addresses(&snapshot, "n1").collect(), &here, &mut Down).unwrap();
    let view = View { me: "n1", snapshot: &snapshot, here: &here, ways: &ways, draining: &draining, by_routers: false };
    let verdicts = desired(&view).verdicts;
    let of_peer: Vec<&Verdict> = verdicts.iter().filter(|verdict| &*verdict.node == "n2").collect();
    let said: Vec<String> = of_peer.iter().map(|verdict| verdict.ruling.to_string()).collect();
    assert_eq!(said, ["skipped: 10.0.0.2 is on eth0, which is down", "skipped: fd00::2 is on eth0, which is down"]);
    assert!(of_peer.iter().all(|verdict| verdict.ruling.is_cut_off()));
}

/// A kernel without any route.
struct Down;

impl Kernel for Down {
    fn here(&mut self) -> Result<Here, netlink::Error> {
        Ok(here())
    }

    fn routes(&mut self) -> Result<Routes, netlink::Error> {
        Ok(Routes::new())
    }

    fn entries(&mut self, addresses: &[IpAddr]) -> Result<Vec<Result<FibEntry, KernelError>>, netlink::Error> {
        let nowhere = || Err(KernelError { errno: Errno::ENETUNREACH, text: String::new() });
        Ok(addresses.iter().map(|_| nowhere()).collect())
    }

    fn change(&mut self, _: &[Change]) -> Result<Vec<Result<(), Refusal>>, netlink::Error> {
        Ok(Vec::new())
    }

    fn holders(&mut self, _: &BTreeSet<Key>) -> Result<BTreeMap<Key, String>, netlink::Error> {
        Ok(BTreeMap::new())
    }
}

#[test]
fn thousands_of_junk_nodes_do_not_harm_the_good_ones() {
    let junk = (0..5000).map(|i| {
        let name = format!("junk{i}");
        node(&name, &[&format!("10.99.{}.{}", i / 250, i % 250), "x"], &["10.244.2.0/24", "0.0.0.0/1", "10.0.0.0/16"])
    });
    let alone = plan_for(good(), false).routes;
    assert_eq!(plan_for(good().into_iter().chain(junk).collect(), false).routes, alone);
}

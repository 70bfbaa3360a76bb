use super::*;
use crate::tolerant::decode;
use crate::wire::{messages, sample as message};

const IFA_ADDRESS: u16 = 1;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;

const FOREVER: u32 = u32::MAX;
const SLAAC: u32 = 0x100;
/// The flag of an address from a DHCPv6 client: `IFA_F_NOPREFIXROUTE`.
const DHCP: u32 = 0x200;

fn octets(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().unwrap().octets()
}

#[test]
fn an_address_of_an_advertised_prefix_counts_and_no_other() {
    // prefix, scope, flags, IFA_PROTO, valid lifetime: is it learned?
    for (prefix, scope, flags, protocol, valid, expected) in [
        (64, 0, SLAAC, Some(2), 3600, true),
        (64, 0, SLAAC, None, 3600, true),
        (64, 0, 0, Some(2), 30, true),
        (64, 0, SLAAC, Some(2), FOREVER, false),
        (128, 0, DHCP, None, 3600, false),
        (64, 0, 0, None, 3600, false),
        (64, 0, 0x80, None, FOREVER, false),
        (64, 253, 0x80, Some(3), FOREVER, false),
    ] {
        let cache = [valid.to_ne_bytes(), valid.to_ne_bytes(), [0; 4], [0; 4]].concat();
        let (address, flags) = (octets("fd31::7"), u32::to_ne_bytes(flags));
        let mut attributes: Vec<(u16, &[u8])> =
            vec![(IFA_ADDRESS, &address), (IFA_CACHEINFO, &cache), (IFA_FLAGS, &flags)];
        let protocol: Option<[u8; 1]> = protocol.map(|protocol| [protocol]);
        attributes.extend(protocol.as_ref().map(|protocol| (IFA_PROTO, &protocol[..])));
        let bytes = message(20, &[10, prefix, 0, scope, 7, 0, 0, 0], &attributes);
        let learned = by_advertisement(&decode(&bytes).unwrap());
        let address: IpNetwork = format!("fd31::7/{prefix}").parse().unwrap();
        assert_eq!(learned, expected.then_some((7, Learned::Address(address))), "{attributes:?}");
    }
}

/// A route as the kernel dumps it: prefix length, protocol, destination, ticks until it expires, and the attributes of its
/// next hops.
fn route(prefix: u8, protocol: u8, destination: Option<&str>, left: i32, hops: &[(u16, &[u8])]) -> Vec<(u32, Learned)> {
    let destination = destination.map(octets);
    let mut cache = [0; 32];
    cache[EXPIRES..EXPIRES + 4].copy_from_slice(&left.to_ne_bytes());
    let mut attributes: Vec<(u16, &[u8])> = destination.iter().map(|octets| (RTA_DST, &octets[..])).collect();
    attributes.push((RTA_CACHEINFO, &cache));
    attributes.extend(hops);
    let bytes = message(24, &[10, prefix, 0, 0, 254, protocol, 0, UNICAST, 0, 0, 0, 0], &attributes);
    for end in 0..bytes.len() {
        messages(&bytes[..end]).for_each(|route| drop(learned_route(&route)));
    }
    messages(&bytes).next().map(|route| learned_route(&route)).unwrap()
}

#[test]
fn routes_of_advertisements_count_whatever_their_destination_and_table() {
    let seven: &[u8] = &7u32.to_ne_bytes();
    let by_seven: &[(u16, &[u8])] = &[(RTA_OIF, seven)];
    assert_eq!(route(0, BY_ADVERTISEMENT, None, 1000, by_seven), [(7, Learned::DefaultRoute)]);
    let more_specific = Learned::Route("2001:db8::/32".parse().unwrap());
    assert_eq!(route(32, BY_ADVERTISEMENT, Some("2001:db8::"), 0, by_seven), [(7, more_specific)]);
    let prefix = Learned::Route("fd31::/64".parse().unwrap());
    assert_eq!(route(64, BY_KERNEL, Some("fd31::"), 3000, by_seven), [(7, prefix)]);
    assert_eq!(route(64, BY_KERNEL, Some("fd31::"), 0, by_seven), [], "that of a static address");
    assert_eq!(route(64, BY_KERNEL, Some("fd31::"), -100, by_seven), [], "it has ended");
    assert_eq!(route(0, 4, None, 1000, by_seven), [], "a static route");
    let hop = |link: u32| [&[8, 0, 0, 0], &link.to_ne_bytes()[..]].concat();
    let hops = [hop(7), hop(9)].concat();
    let both = [(7, Learned::DefaultRoute), (9, Learned::DefaultRoute)];
    assert_eq!(route(0, BY_ADVERTISEMENT, None, 1000, &[(RTA_MULTIPATH, &hops)]), both, "two routers");
}

#[test]
fn the_setting_of_a_link_with_dots_is_written_with_slashes() {
    let loss = |link: &str| Loss { link: link.into(), learned: Learned::DefaultRoute };
    assert_eq!(loss("eth0").setting(), "net.ipv6.conf.eth0.accept_ra");
    assert_eq!(loss("eth0.100").setting(), "net/ipv6/conf/eth0.100/accept_ra");
}

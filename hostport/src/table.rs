//! The packet filter table of host ports as a value, and the elements of a record. Pure.
//!
//! ```text
//!  prerouting, output   to an address of the node (never ::1):  map node4/node6, else map any4/any6  ->  the pod, its port
//!  postrouting          a pod to itself (set hairpin4/hairpin6), 127.0.0.0/8 by a pod's link         ->  masquerade
//!  loopback             by a pod's link, from or to 127.0.0.0/8                                      ->  drop
//! ```
//!
//! It comes behind the services of kube-proxy at the same hooks, as portmap's rules do. ::1 cannot be translated: the kernel
//! sends no packet from it by another link. So a server of the node stays reachable there.

use std::net::{IpAddr, Ipv6Addr};

use netlink::{Family, HOST_LINK_PREFIX};
use nftables::{
    Chain, Change, Cmp, Element, Expression, Hook, KeyPart, Kind, Map, Rule, Table, TableFamily, Verdict, octets,
};

use crate::forward::Forward;
use crate::record::Record;

/// The table's name, in whatever shape the kernel has it.
pub const NAME: &str = "podlan-hostport";

/// `RTN_LOCAL`, as the kernel stores it in a register.
const LOCAL: u32 = 2;

/// The first byte of 127.0.0.0/8.
const LOOPBACK: u8 = 127;

/// Before connection tracking, as the agent's source rule.
const RAW: i32 = -300;

/// Behind the services of kube-proxy, which are at -100 and 100.
const DESTINATION: i32 = -99;
const SOURCE: i32 = 99;

/// The maps and the set of one family.
pub(crate) struct Names {
    pub(crate) node: &'static str,
    pub(crate) any: &'static str,
    pub(crate) hairpin: &'static str,
}

pub(crate) fn names(family: Family) -> Names {
    match family {
        Family::V4 => Names { node: "node4", any: "any4", hairpin: "hairpin4" },
        Family::V6 => Names { node: "node6", any: "any6", hairpin: "hairpin6" },
    }
}

/// The table with its rules; the elements of its maps are those of the records.
#[must_use]
pub fn table() -> Table {
    let nat = |name, number, priority, rules| Chain { name, hook: Hook { kind: "nat", number, priority }, rules };
    let to_pods = || Family::BOTH.into_iter().flat_map(to_pods).collect();
    let raw = Hook { kind: "filter", number: 0, priority: RAW };
    Table {
        family: TableFamily::Inet,
        name: NAME,
        sets: Vec::new(),
        maps: Family::BOTH.into_iter().flat_map(maps).collect(),
        chains: vec![
            Chain { name: "loopback", hook: raw, rules: vec![loopback(12), loopback(16)] },
            nat("prerouting", 0, DESTINATION, to_pods()),
            nat("output", 3, DESTINATION, to_pods()),
            nat("postrouting", 4, SOURCE, vec![hairpin(Family::V4), hairpin(Family::V6), from_loopback()]),
        ],
    }
}

fn maps(family: Family) -> [Map; 3] {
    let Names { node, any, hairpin } = names(family);
    let [key, value, pair]: [&'static [Kind]; 3] = match family {
        Family::V4 => [&[Kind::Ipv4, Kind::Protocol, Kind::Port], &[Kind::Ipv4, Kind::Port], &[Kind::Ipv4, Kind::Ipv4]],
        Family::V6 => [&[Kind::Ipv6, Kind::Protocol, Kind::Port], &[Kind::Ipv6, Kind::Port], &[Kind::Ipv6, Kind::Ipv6]],
    };
    [
        Map { name: node, key, value },
        Map { name: any, key: &[Kind::Protocol, Kind::Port], value },
        Map { name: hairpin, key: pair, value: &[] },
    ]
}

/// Where RFC 791 and RFC 8200 have the source and the destination, bytes.
fn header(family: Family) -> ((u32, u32), (u32, u32)) {
    match family {
        Family::V4 => ((12, 4), (16, 4)),
        Family::V6 => ((8, 16), (24, 16)),
    }
}

fn of_family(family: Family) -> [Expression; 2] {
    [Expression::AddressFamily, Expression::Compare(Cmp::Equal, vec![family.number()])]
}

/// The slots that a family's address takes.
fn slots(family: Family) -> u32 {
    header(family).0.1 / 4
}

/// First the map with the node's address in the key, then the one without.
fn to_pods(family: Family) -> [Rule; 2] {
    let Names { node, any, .. } = names(family);
    let (offset, length) = header(family).1;
    let rule = |purpose, key: Vec<Expression>, map| {
        let mut expressions = of_family(family).to_vec();
        expressions.push(Expression::DestinationKind);
        expressions.push(Expression::Compare(Cmp::Equal, LOCAL.to_ne_bytes().to_vec()));
        if family == Family::V6 {
            expressions.push(Expression::NetworkHeader { offset, length });
            expressions.push(Expression::Compare(Cmp::NotEqual, octets(IpAddr::V6(Ipv6Addr::LOCALHOST))));
        }
        expressions.extend(key);
        expressions.extend([Expression::LookupValue(map), Expression::DestinationNat(family)]);
        Rule { purpose, expressions }
    };
    let load = |slot, part| Expression::LoadKey { slot, part };
    let port = |slot| vec![load(slot, KeyPart::TransportProtocol), load(slot + 1, KeyPart::DestinationPort)];
    let address = load(0, KeyPart::NetworkHeader { offset, length });
    let of_node = [vec![address], port(slots(family))].concat();
    [
        rule("podlan: a host port of one address of the node", of_node, node),
        rule("podlan: a host port of all addresses of the node", port(0), any),
    ]
}

/// A pod that calls itself by the node's port gets the answers only where they come back the same way.
fn hairpin(family: Family) -> Rule {
    let ((source, length), (destination, _)) = header(family);
    let load = |slot, offset| Expression::LoadKey { slot, part: KeyPart::NetworkHeader { offset, length } };
    let mut expressions = of_family(family).to_vec();
    expressions.extend([load(0, source), load(slots(family), destination)]);
    expressions.extend([Expression::Lookup(Cmp::Equal, names(family).hairpin), Expression::Masquerade]);
    Rule { purpose: "podlan: a pod to its own host port", expressions }
}

/// The node to a host port at 127.0.0.1: the pod cannot answer that address.
fn from_loopback() -> Rule {
    let mut expressions = of_pod_link(Expression::OutgoingLinkName);
    expressions.extend(in_loopback(12));
    expressions.push(Expression::Masquerade);
    Rule { purpose: "podlan: the node to a host port at 127.0.0.1", expressions }
}

/// `route_localnet`, which the links of these pods have, opens the node's loopback to them, and lets them send in its name.
fn loopback(offset: u32) -> Rule {
    let mut expressions = of_pod_link(Expression::IncomingLinkName);
    expressions.extend(in_loopback(offset));
    expressions.extend([Expression::Counter, Expression::Decide(Verdict::Drop)]);
    Rule { purpose: "podlan: the node's loopback is not for pods with host ports", expressions }
}

fn of_pod_link(name: Expression) -> Vec<Expression> {
    vec![name, Expression::Compare(Cmp::Equal, HOST_LINK_PREFIX.as_bytes().to_vec())]
}

/// An IPv4 address at this place of the header lies in 127.0.0.0/8.
fn in_loopback(offset: u32) -> Vec<Expression> {
    let mut expressions = of_family(Family::V4).to_vec();
    expressions.push(Expression::NetworkHeader { offset, length: 1 });
    expressions.push(Expression::Compare(Cmp::Equal, vec![LOOPBACK]));
    expressions
}

/// All maps of the table.
pub(crate) const MAPS: [&str; 6] = ["node4", "any4", "hairpin4", "node6", "any6", "hairpin6"];

/// The elements of a record: each with the name of its map.
pub(crate) fn elements(record: &Record) -> Vec<(&'static str, Element)> {
    let comment = record.comment();
    let mut all: Vec<(&'static str, Element)> = Vec::with_capacity(record.forwards.len() * 2);
    for forward in &record.forwards {
        let Names { node, any, hairpin } = names(forward.family());
        let map = if forward.is_everywhere() { any } else { node };
        all.push((map, Element { key: key(forward), value: value(forward), comment: comment.clone() }));
        let pod = octets(forward.to.ip());
        let pair = Element { key: [pod.as_slice(), &pod].concat(), value: Vec::new(), comment: comment.clone() };
        if !all.iter().any(|(map, one)| *map == hairpin && one.key == pair.key) {
            all.push((hairpin, pair));
        }
    }
    all
}

/// The elements by their maps.
pub(crate) fn change(add: bool, elements: &[(&'static str, Element)]) -> Vec<Change> {
    let of_map = |map: &'static str| {
        let of_map = elements.iter().filter(|(name, _)| *name == map).map(|(_, element)| element.clone());
        Change { map, add, elements: of_map.collect() }
    };
    MAPS.into_iter().map(of_map).filter(|change| !change.elements.is_empty()).collect()
}

fn key(forward: &Forward) -> Vec<u8> {
    let mut key = if forward.is_everywhere() { Vec::new() } else { octets(forward.at.ip()) };
    key.extend([forward.protocol as u8, 0, 0, 0]);
    key.extend(padded(forward.at.port()));
    key
}

fn value(forward: &Forward) -> Vec<u8> {
    [octets(forward.to.ip()), padded(forward.to.port()).to_vec()].concat()
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn the_elements_of_a_record_lie_in_the_map_of_their_family_and_address() {
        let maps = |at: &str| elements(&record("c1", at)).into_iter().map(|(map, _)| map).collect::<Vec<_>>();
        assert_eq!(maps("0.0.0.0:53"), ["any4", "hairpin4"]);
        assert_eq!(maps("192.0.2.1:53"), ["node4", "hairpin4"]);
        assert_eq!(maps("[::]:53"), ["any6", "hairpin6"]);
        let (_, element) = elements(&record("c1", "192.0.2.1:53")).remove(0);
        assert_eq!(element.key, [192, 0, 2, 1, 17, 0, 0, 0, 0, 53, 0, 0]);
        assert_eq!(element.value, [10, 244, 1, 2, 0, 80, 0, 0]);
        assert!(element.comment.starts_with("podl") && element.comment.contains(" default/web podnet eth0 c1"));
    }

    #[test]
    fn every_map_of_the_table_is_known_by_its_name() {
        assert_eq!(table().maps.iter().map(|map| map.name).collect::<Vec<_>>(), MAPS);
    }
}

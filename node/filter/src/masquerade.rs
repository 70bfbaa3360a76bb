//! Egress masquerade: a connection of a pod of this node to an address outside the cluster leaves with the node's
//! address; never one to a pod or a node, which are inside. Pure.
//!
//! Two sets for each family decide: `own`, the pods of this node, and `inside`, all pods and nodes of the cluster, what
//! an operator adds, and multicast. The rules do not change; the sets are changed by their difference.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink::Family;
use nftables::{Chain, Cmp, Expression, Hook, Rule, Set, Subnets, Table, TableFamily};

/// A table of its own: a kernel without masquerade still has the source rule.
pub(super) const TABLE: &str = "podlan-masquerade";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Egress {
    /// Pods' traffic leaves with their own addresses; routers have routes back.
    Off,
    /// Masquerade is wanted, but the nodes are not known yet.
    Unknown,
    /// Traffic that leaves these is masqueraded.
    On(Sides),
}

/// Which addresses are on which side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    own: Subnets,
    inside: Subnets,
}

impl Sides {
    /// `own` are the pods of this node, `inside` everything that is reached with the pods' own addresses.
    pub fn new(own: impl IntoIterator<Item = IpNetwork>, inside: impl IntoIterator<Item = IpNetwork>) -> Self {
        let own: Subnets = own.into_iter().collect();
        let inside = inside.into_iter().chain(multicast()).chain(own.iter()).collect();
        Self { own, inside }
    }

    /// Whether pods reach all of `subnet` with their own addresses.
    pub fn is_inside(&self, subnet: IpNetwork) -> bool {
        self.inside.iter().any(|inside| inside.contains(subnet.network()) && inside.prefix() <= subnet.prefix())
    }
}

/// Multicast is never masqueraded.
fn multicast() -> [IpNetwork; 2] {
    let network = |address: IpAddr, prefix| IpNetwork::new(address, prefix).unwrap_or_else(|_| address.into());
    [network(Ipv4Addr::new(224, 0, 0, 0).into(), 4), network(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8)]
}

pub(super) fn table(sides: &Sides) -> Table {
    let set = |name, family, subnets: &Subnets| Set { name, family, subnets: subnets.of_family(family) };
    Table {
        family: TableFamily::Inet,
        name: TABLE,
        sets: vec![
            set("own4", Family::V4, &sides.own),
            set("own6", Family::V6, &sides.own),
            set("inside4", Family::V4, &sides.inside),
            set("inside6", Family::V6, &sides.inside),
        ],
        maps: Vec::new(),
        chains: vec![Chain {
            name: "egress",
            hook: Hook { kind: "nat", number: 4, priority: 100 },
            rules: vec![
                // Where RFC 791 and RFC 8200 have source and destination.
                rule(Family::V4, "own4", (12, 4), "inside4", (16, 4)),
                rule(Family::V6, "own6", (8, 16), "inside6", (24, 16)),
            ],
        }],
    }
}

fn rule(family: Family, own: &'static str, source: (u32, u32), inside: &'static str, destination: (u32, u32)) -> Rule {
    let header = |(offset, length)| Expression::NetworkHeader { offset, length };
    Rule {
        purpose: "podlan: out of the cluster with the node's address",
        expressions: vec![
            Expression::AddressFamily,
            Expression::Compare(Cmp::Equal, vec![family.number()]),
            header(source),
            Expression::Lookup(Cmp::Equal, own),
            header(destination),
            Expression::Lookup(Cmp::NotEqual, inside),
            Expression::Counter,
            Expression::Masquerade,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_side_holds_no_subnet_twice_and_none_that_lies_in_another() {
        let sides = Sides::new(
            cidrs(&["10.244.1.0/24", "fd00:10:244:1::/64"]),
            cidrs(&["10.244.2.0/24", "10.244.2.0/24", "10.0.0.0/8", "192.0.2.1/32", "fd31::1/128"]),
        );
        let inside: Vec<String> = sides.inside.iter().map(|subnet| subnet.to_string()).collect();
        let expected = ["10.0.0.0/8", "192.0.2.1/32", "224.0.0.0/4", "fd00:10:244:1::/64", "fd31::1/128", "ff00::/8"];
        assert_eq!(inside, expected);
    }

    #[test]
    fn the_own_pods_are_inside_too() {
        let sides = Sides::new(cidrs(&["10.244.1.0/24"]), []);
        assert!(sides.inside.iter().any(|subnet| subnet == "10.244.1.0/24".parse().unwrap()));
    }

    #[test]
    fn other_sides_change_the_sets_and_no_rule() {
        let few = table(&Sides::new(cidrs(&["10.244.1.0/24"]), []));
        let many = table(&Sides::new(cidrs(&["10.244.1.0/24"]), cidrs(&["10.244.2.0/24", "172.31.0.2/32"])));
        assert_eq!(few.chains, many.chains);
        assert_ne!(few.sets, many.sets);
    }
}

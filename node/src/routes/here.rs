//! This node as the planner sees it: its links, its addresses, and how it reaches what is not on its own subnets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

/// A link of this node. Links to pods are left out: they come and go with the pods and say nothing of peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: Arc<str>,
    pub(crate) up: bool,
    /// Says nothing of peers, and is here so that its change is news: pods have the MTU of one of these links.
    pub(crate) mtu: u32,
}

/// The links and global addresses of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Here {
    pub(crate) links: BTreeMap<u32, Link>,
    /// Each with the index of its link; the address keeps its host bits.
    pub(crate) addresses: BTreeSet<(u32, IpNetwork)>,
}

impl Here {
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, own)| own.ip() == address)
    }

    /// The link in whose subnet `address` lies: that of the longest prefix, and of these one that is up.
    pub(crate) fn segment(&self, address: IpAddr) -> Option<Segment<'_>> {
        let holds = self.subnets().filter(|(_, subnet)| subnet.contains(address));
        let (index, _) = holds.max_by_key(|(index, subnet)| (subnet.prefix(), self.is_up(*index)))?;
        self.links.get(&index).map(|link| Segment { index, link })
    }

    /// A subnet or an own address that `cidr` would swallow.
    pub(crate) fn covered_by(&self, cidr: IpNetwork) -> Option<IpNetwork> {
        let swallowed =
            |own: IpNetwork| cidr.contains(own.ip()) || (cidr.contains(own.network()) && cidr.prefix() <= own.prefix());
        self.addresses.iter().map(|(_, own)| *own).find(|own| own.is_ipv4() == cidr.is_ipv4() && swallowed(*own))
    }

    pub(crate) fn link_name(&self, index: u32) -> Arc<str> {
        self.links.get(&index).map_or_else(|| format!("link {index}").into(), |link| link.name.clone())
    }

    /// Subnets with room for somebody else.
    fn subnets(&self) -> impl Iterator<Item = (u32, IpNetwork)> + '_ {
        let shared = |subnet: &IpNetwork| subnet.prefix() < if subnet.is_ipv4() { 32 } else { 128 };
        self.addresses.iter().copied().filter(move |(_, subnet)| !subnet.ip().is_loopback() && shared(subnet))
    }

    fn is_up(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|link| link.up)
    }
}

/// A link with the neighbours on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub(crate) index: u32,
    pub(crate) link: &'a Link,
}

/// How the kernel would send a packet to an address outside this node's subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Straight onto a link, by a route that names no router.
    OnLink { link: u32 },
    /// To a router.
    Router { router: IpAddr, link: u32 },
    /// It has no route.
    Nowhere,
}

/// What is known of the addresses outside this node's subnets.
pub(crate) type Reaches = BTreeMap<IpAddr, Reach>;

#[cfg(test)]
mod tests {
    use super::*;

    fn here(addresses: &[(u32, &str)]) -> Here {
        let link = |index: &u32| (*index, Link { name: format!("eth{index}").into(), up: *index < 10, mtu: 1500 });
        Here {
            links: addresses.iter().map(|(index, _)| link(index)).collect(),
            addresses: addresses.iter().map(|(index, text)| (*index, text.parse().unwrap())).collect(),
        }
    }

    #[test]
    fn the_narrowest_subnet_says_where_a_neighbour_is() {
        let here = here(&[(2, "10.0.0.1/8"), (3, "10.1.0.1/16"), (4, "10.2.0.1/32"), (11, "10.1.0.2/16")]);
        let segment = |text: &str| here.segment(text.parse().unwrap()).map(|segment| segment.index);
        assert_eq!(segment("10.9.0.1"), Some(2));
        assert_eq!(segment("10.1.0.9"), Some(3), "of two links with one subnet, the one that is up");
        assert_eq!(segment("10.2.0.1"), Some(2), "a /32 has no neighbours");
        assert_eq!(segment("192.0.2.1"), None);
    }

    #[test]
    fn a_pod_cidr_inside_the_node_subnet_covers_nothing_unless_it_holds_the_own_address() {
        let here = here(&[(2, "10.0.0.1/8"), (3, "192.168.50.1/24")]);
        let covered = |text: &str| here.covered_by(text.parse().unwrap()).is_some();
        assert!(!covered("10.244.2.0/24"));
        assert!(covered("10.0.0.0/24"));
        assert!(covered("192.168.50.0/24"));
        assert!(covered("192.168.0.0/16"));
        assert!(!covered("192.168.50.128/25"));
        assert!(covered("0.0.0.0/1"));
        assert!(!covered("fd00::/16"));
    }
}

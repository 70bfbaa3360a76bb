//! This node as the planner sees it: its links and its addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

/// A link of this node. Links to pods are left out: they come and go with the pods and say nothing of peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is up (`IFF_UP`).
    pub up: bool,
    /// Whether there is somebody at its other end, as the link says (`IFF_LOWER_UP`) and as the kernel has taken note of it a
    /// moment later (its operational state). It may pass over routes by a link without (`ignore_routes_with_linkdown`).
    pub carrier: [bool; 2],
    /// Does not concern peers; it is here so that a change of it is noticed: pods have the MTU of one of these links.
    pub mtu: u32,
}

/// The links and global addresses of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// By their indexes.
    pub links: BTreeMap<u32, Link>,
    /// Each with the index of its link; the address keeps its host bits.
    pub addresses: BTreeSet<(u32, IpNetwork)>,
}

impl Here {
    /// Whether this node has the address.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, own)| own.ip() == address)
    }

    /// Whether `address` lies in a subnet with a prefix of that length of which this node has an address on `link`.
    pub(crate) fn is_in(&self, address: IpAddr, prefix: u8, link: u32) -> bool {
        let mut subnets = self.subnets_around(address);
        subnets.any(|(index, subnet)| index == link && subnet.prefix() == prefix)
    }

    /// Whether `address` lies in a subnet of this node.
    pub(crate) fn is_near(&self, address: IpAddr) -> bool {
        self.subnets_around(address).next().is_some()
    }

    /// The link in whose subnet `address` lies, where every such link is down.
    pub(crate) fn link_down(&self, address: IpAddr) -> Option<&Link> {
        let (index, _) =
            self.subnets_around(address).max_by_key(|(index, subnet)| (self.is_up(*index), subnet.prefix()))?;
        self.links.get(&index).filter(|link| !link.up)
    }

    /// A link that is down while this node has lost every one of `own`, its addresses of one family: IPv6 addresses go with
    /// their link.
    pub(crate) fn lost_with_link(&self, own: &[IpAddr]) -> Option<&Link> {
        if own.is_empty() || own.iter().any(|address| self.is_own(*address)) {
            return None;
        }
        let mut down: Vec<(&u32, &Link)> = self.links.iter().filter(|(_, link)| !link.up).collect();
        // One that has an address of the other family was in use.
        down.sort_by_key(|(index, _)| !self.addresses.iter().any(|(of, _)| of == *index));
        down.first().map(|(_, link)| *link)
    }

    /// A subnet or an own address that `cidr` would swallow.
    pub(crate) fn covered_by(&self, cidr: IpNetwork) -> Option<IpNetwork> {
        let swallowed =
            |own: IpNetwork| cidr.contains(own.ip()) || (cidr.contains(own.network()) && cidr.prefix() <= own.prefix());
        self.addresses.iter().map(|(_, own)| *own).find(|own| own.is_ipv4() == cidr.is_ipv4() && swallowed(*own))
    }

    /// The name of a link; `ifN` where it is not known, as `ip` prints it.
    pub fn link_name(&self, index: u32) -> Arc<str> {
        self.links.get(&index).map_or_else(|| format!("if{index}").into(), |link| link.name.clone())
    }

    /// The subnets with room for somebody else that hold `address`.
    fn subnets_around(&self, address: IpAddr) -> impl Iterator<Item = (u32, IpNetwork)> + '_ {
        let shared = |subnet: &IpNetwork| subnet.prefix() < if subnet.is_ipv4() { 32 } else { 128 };
        let around = move |subnet: &IpNetwork| !subnet.ip().is_loopback() && shared(subnet) && subnet.contains(address);
        self.addresses.iter().copied().filter(move |(_, subnet)| around(subnet))
    }

    fn is_up(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|link| link.up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(addresses: &[(u32, &str)]) -> Here {
        let link = |index: &u32| {
            (*index, Link { name: format!("eth{index}").into(), up: *index < 10, carrier: [true; 2], mtu: 1500 })
        };
        Here {
            links: addresses.iter().map(|(index, _)| link(index)).collect(),
            addresses: addresses.iter().map(|(index, text)| (*index, text.parse().unwrap())).collect(),
        }
    }

    #[test]
    fn an_address_lies_in_a_subnet_whose_link_may_be_down() {
        let here = here(&[(2, "10.0.0.1/8"), (3, "10.1.0.1/16"), (4, "10.2.0.1/32"), (11, "192.0.2.2/24")]);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(here.is_near(ip("10.9.0.1")));
        assert!(here.is_near(ip("192.0.2.9")), "though its link is down");
        assert!(!here.is_near(ip("198.51.100.1")));
        assert_eq!(here.link_down(ip("192.0.2.9")).map(|link| &*link.name), Some("eth11"));
        assert_eq!(here.link_down(ip("10.1.0.9")), None);
        assert_eq!(here.link_down(ip("198.51.100.1")), None);
        assert!(here.is_in(ip("10.1.0.9"), 16, 3) && !here.is_in(ip("10.1.0.9"), 16, 2));
        assert!(!here.is_in(ip("10.2.0.1"), 32, 4), "a /32 has no neighbours");
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

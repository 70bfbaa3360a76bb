//! The pods that have a lease, as this node sees them: their links, and what is inside their namespaces where those can be
//! entered.

pub mod observe;

use std::net::IpAddr;

use ipam::{Lease, Presence};
use netlink::{HOST_LINK_PREFIX, Link};
use podlink::Identity;

use crate::Seen;

/// A leased address and what belongs to it.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The network's name.
    pub network: String,
    /// The lease.
    pub lease: Lease,
    /// Whether its owner is there.
    pub presence: Presence,
    /// The host link that the lease names.
    pub link: Option<Link>,
    /// What is inside; not looked at for pods that are not podlan's.
    pub inside: Option<Seen<Inside>>,
}

/// The pod's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// The interface is there.
    pub there: bool,
    /// It is up.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// It has a route by a gateway, in the lease's address family.
    pub routed: bool,
}

impl Attached {
    /// The pod's name where that is known, else its container id.
    pub fn name(&self) -> String {
        self.lease.proof.pod.clone().unwrap_or_else(|| self.lease.owner.container_id.to_string())
    }

    /// The link-local address that the pod's end makes of the MAC that podlan gives it (RFC 4291, appendix A).
    pub fn link_local(&self) -> IpAddr {
        let mac =
            cni::NetworkName::parse(&self.network).map(|network| Identity::of(&network, &self.lease.owner).pod_mac);
        let [a, b, c, d, e, f] = mac.map(|mac| mac.octets()).unwrap_or_default().map(u16::from);
        let groups = [(a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe << 8 | d, e << 8 | f];
        std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, groups[0], groups[1], groups[2], groups[3]).into()
    }

    /// Whether podlan made its link: not one that was adopted, or that another plugin made.
    pub fn is_podlans(&self) -> bool {
        self.lease.proof.host_link.as_deref().is_some_and(|name| name.starts_with(HOST_LINK_PREFIX))
    }

    /// Whether it lives, as far as that is proved: its namespace is there, or its link, which has one at its other end.
    pub fn lives(&self) -> bool {
        self.presence == Presence::Present || self.presence == Presence::Unknown && self.link.is_some()
    }
}

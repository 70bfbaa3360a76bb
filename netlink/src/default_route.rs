//! The way out of a network namespace: its default route, and the MTU that a node's pods inherit from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::{Error, Link, Lookup, Route, Selector, Socket};

/// The smallest MTU of an IPv4 link (`ETH_MIN_MTU`; RFC 791) and the largest that veth takes.
pub const MTU: RangeInclusive<u32> = 68..=65_535;

/// The MTU of a node that has no default route: Ethernet's.
const DEFAULT_MTU: u32 = 1500;

/// The default route of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultRoute {
    /// IPv4's.
    V4,
    /// IPv6's.
    V6,
}

impl DefaultRoute {
    /// An address that no network routes specially: the default route answers for it. TEST-NET-1 (RFC 5737), and
    /// IPv6's documentation subnet (RFC 3849).
    fn anywhere(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
            Self::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        }
    }

    /// Asks for it; `None` when there is none.
    pub fn ask(self, socket: &mut Socket, lookup: Lookup) -> Result<Option<Route>, Error> {
        Route::ask(socket, lookup, self.anywhere())
    }
}

/// The MTU of the default route's link, IPv4's first.
pub fn inherited_mtu(host: &mut Socket) -> Result<u32, Error> {
    for family in [DefaultRoute::V4, DefaultRoute::V6] {
        let Some(device) = family.ask(host, Lookup::Packet)?.and_then(|route| route.device) else { continue };
        // A default route that ends at the node (by lo, whose MTU no veth takes) says nothing of the way out.
        if let Some(link) = Link::find(host, Selector::Index(device))?.filter(|link| MTU.contains(&link.mtu)) {
            return Ok(link.mtu);
        }
    }
    Ok(DEFAULT_MTU)
}

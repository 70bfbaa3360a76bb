//! The local route of an IPv6 address, by which a host accepts packets to it.
//!
//! The kernel adds this route itself, but not in the request that adds the address: a worker does it (`addrconf_dad_work`,
//! without duplicate detection too), which waits for the lock of every change of a link. Until then packets to the address
//! are not accepted.

use std::net::Ipv6Addr;

use ipnetwork::{IpNetwork, Ipv6Network};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};

use crate::Family;
use crate::request::Request;
use crate::{Route, RouteKind};

/// The table of what a host accepts.
const RT_TABLE_LOCAL: u8 = 255;

/// How long the route that bridges the time lives, seconds. The kernel's own has metric 0, which no other can have, and
/// so goes first.
const LIFETIME: u32 = 60;

/// An address of a link, accepted from the moment on at which it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRoute {
    /// The address.
    pub address: Ipv6Addr,
    /// The link's index.
    pub device: u32,
}

impl LocalRoute {
    /// Adds a route that accepts packets to the address until the kernel has added its own, and that then expires. It has the
    /// kernel's protocol number, like the route that it replaces for that time.
    pub fn add(&self) -> Request {
        let mut message = RouteMessage::default();
        message.header.address_family = Family::V6.in_header();
        message.header.destination_prefix_length = Family::V6.bits();
        message.header.table = RT_TABLE_LOCAL;
        message.header.protocol = RouteProtocol::Kernel;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Local;
        message.attributes = vec![
            RouteAttribute::Destination(self.address.into()),
            RouteAttribute::Oif(self.device),
            // One address on several links, fe80::1: the metric keeps the routes apart.
            RouteAttribute::Priority(self.device),
            RouteAttribute::Expires(LIFETIME),
        ];
        Request::create(RouteNetlinkMessage::NewRoute(message))
    }

    /// Whether this is a route by which the address is accepted on the link: this one or the kernel's own.
    pub fn is(&self, route: &Route) -> bool {
        let address = IpNetwork::V6(Ipv6Network::from(self.address));
        route.kind == RouteKind::Other(RouteType::Local.into())
            && route.destination == address
            && route.device == Some(self.device)
    }
}

//! The way out of a network namespace: its default route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Error, Family, Lookup, Route, Socket};

/// The default route of one family; `None` when there is none.
pub fn default_route(socket: &mut Socket, family: Family, lookup: Lookup) -> Result<Option<Route>, Error> {
    Route::ask(socket, lookup, anywhere(family))
}

/// An address that no network routes specially: the default route answers for it. TEST-NET-1 (RFC 5737), and IPv6's
/// documentation subnet (RFC 3849).
fn anywhere(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

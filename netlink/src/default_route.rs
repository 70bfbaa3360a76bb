//! The way out of a network namespace: its default route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Error, Lookup, Route, Socket};

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

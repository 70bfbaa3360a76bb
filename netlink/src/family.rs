//! The address family.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

impl Family {
    /// Both, in this order everywhere: IPv4, then IPv6.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Whether the address is of this family.
    pub fn holds(self, address: IpAddr) -> bool {
        Self::of(address) == self
    }

    /// Its place in [`Family::BOTH`], and in an array with one value for each family.
    pub fn index(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 => 1,
        }
    }

    /// Its number in the kernel's messages: `AF_INET` 2, `AF_INET6` 10.
    pub fn number(self) -> u8 {
        self.in_header().into()
    }

    /// The length of an address, bits: the prefix length of a single address's subnet.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// As the headers of rtnetlink messages have it.
    pub(crate) fn in_header(self) -> AddressFamily {
        match self {
            Self::V4 => AddressFamily::Inet,
            Self::V6 => AddressFamily::Inet6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

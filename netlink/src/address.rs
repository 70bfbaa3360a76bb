//! Addresses on links.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};

use crate::Family;
use crate::request::Request;

/// One address of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The address with its prefix length.
    pub address: IpNetwork,
    /// The link's index.
    pub device: u32,
    /// Link scope, so that the address is never the source of traffic that leaves the link; otherwise global.
    pub link_scope: bool,
}

impl Address {
    /// Adds it; `EEXIST` when the link has it. IPv6 is usable at once: duplicate detection is left out (`IFA_F_NODAD`).
    pub fn add(&self) -> Request {
        Request::create(RouteNetlinkMessage::NewAddress(self.message()))
    }

    /// Removes it; `EADDRNOTAVAIL` when the link has it not.
    pub fn remove(&self) -> Request {
        Request::change(RouteNetlinkMessage::DelAddress(self.message()))
    }

    /// The message by which the kernel says that it came.
    pub fn came(&self) -> RouteNetlinkMessage {
        RouteNetlinkMessage::NewAddress(self.message())
    }

    /// The message by which the kernel says that it went.
    pub fn went(&self) -> RouteNetlinkMessage {
        RouteNetlinkMessage::DelAddress(self.message())
    }

    /// All addresses of one link (0: of all links), both families; permanent and dynamic, tentative ones left out.
    pub fn dump(device: u32) -> Request {
        let mut message = AddressMessage::default();
        message.header.index = device;
        Request::dump(RouteNetlinkMessage::GetAddress(message))
    }

    fn message(&self) -> AddressMessage {
        let ip = self.address.ip();
        let mut message = AddressMessage::default();
        message.header.family = Family::of(ip).in_header();
        message.header.prefix_len = self.address.prefix();
        message.header.index = self.device;
        message.header.scope = if self.link_scope { AddressScope::Link } else { AddressScope::Universe };
        if ip.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
        message
    }

    /// Reads an address that the kernel gave; `None` for another message, or an address that is still tentative.
    pub fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let (RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message)) = message else {
            return None;
        };
        if message.header.flags.contains(AddressHeaderFlags::Tentative) {
            return None;
        }
        let (mut local, mut address): (Option<IpAddr>, Option<IpAddr>) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => address = Some(*ip),
                _ => {}
            }
        }
        Some(Self {
            address: IpNetwork::new(local.or(address)?, message.header.prefix_len).ok()?,
            device: message.header.index,
            link_scope: message.header.scope == AddressScope::Link,
        })
    }
}

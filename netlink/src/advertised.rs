//! The addresses and routes that a node has from IPv6 router advertisements and loses when it forwards: a forwarding node
//! ignores advertisements on a link whose `accept_ra` is 1. The routes are removed at once, the addresses when their lifetime
//! ends.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope};

use crate::netconf::link_forwards;
use crate::wire::{Attributes, Message, u16_at, u32_at};
use crate::{Address, Family, ForwardingError, Link, Procfs, Route, Selector, Socket, Sysctl};

/// `RTPROT_KERNEL` and `RTPROT_RA`.
const BY_KERNEL: u8 = 2;
const BY_ADVERTISEMENT: u8 = 9;

/// `struct rtmsg`: `rtm_dst_len`, `rtm_protocol` and `rtm_type` in it, and its length, bytes.
const PREFIX: usize = 1;
const PROTOCOL: usize = 5;
const TYPE: usize = 7;
const RTMSG: usize = 12;
const UNICAST: u8 = 1;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_CACHEINFO: u16 = 12;
/// Where `rta_expires` lies in `struct rta_cacheinfo`.
const EXPIRES: usize = 8;

/// An address or a route of a link that comes from advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Learned {
    /// The default route.
    DefaultRoute,
    /// An address.
    Address(IpNetwork),
    /// Another route: of a prefix that is on the link, or of a more specific route (RFC 4191).
    Route(IpNetwork),
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultRoute => f.write_str("the IPv6 default route"),
            Self::Address(address) => write!(f, "the address {address}"),
            Self::Route(destination) => write!(f, "the route to {destination}"),
        }
    }
}

/// A link that loses addresses or routes when the node forwards, with the most important of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The link's name.
    pub link: String,
    /// The address or route that it loses.
    pub learned: Learned,
}

impl Loss {
    /// The name for sysctl(8) of the setting that keeps it: with 2 a forwarding node accepts advertisements too.
    pub fn setting(&self) -> String {
        // sysctl(8) would take the dots in a VLAN's name as separators.
        match self.link.contains('.') {
            true => format!("net/ipv6/conf/{}/accept_ra", self.link),
            false => format!("net.ipv6.conf.{}.accept_ra", self.link),
        }
    }
}

/// What the node of the socket loses by forwarding IPv6 for each link, or would lose where it does not forward yet.
pub fn lost_by_forwarding(host: &mut Socket, procfs: &Procfs) -> Result<Vec<Loss>, ForwardingError> {
    let mut links: BTreeMap<u32, Learned> = BTreeMap::new();
    let addresses = host.dump(Address::dump(0), |message| by_advertisement(&message))?;
    let routes = host.dump_raw(Route::dump_all(Family::V6), |message| Some(learned_route(message)))?;
    for (link, learned) in addresses.into_iter().chain(routes.into_iter().flatten()) {
        links.entry(link).and_modify(|known| *known = learned.min(*known)).or_insert(learned);
    }
    let forwards_already = crate::forwards(host, Family::V6)? == Some(true);
    let mut losses = Vec::new();
    for (index, learned) in links {
        // A link whose own forwarding was switched off later accepts them.
        if forwards_already && link_forwards(host, Family::V6, index)? == Some(false) {
            continue;
        }
        let Some(link) = Link::find(host, Selector::Index(index))? else { continue };
        // The kernel reads only the link's own value.
        if Sysctl::of_link(Family::V6, &link.name, "accept_ra").read(procfs)?.as_deref() == Some("1") {
            losses.push(Loss { link: link.name, learned });
        }
    }
    Ok(losses)
}

/// An address that the kernel made from an advertised prefix, with a lifetime that advertisements extend. An address from
/// DHCPv6 has neither mark.
fn by_advertisement(message: &RouteNetlinkMessage) -> Option<(u32, Learned)> {
    let RouteNetlinkMessage::NewAddress(AddressMessage { header, attributes, .. }) = message else { return None };
    let mut address: Option<IpAddr> = None;
    let (mut is_advertised, mut ends) = (false, false);
    for attribute in attributes {
        match attribute {
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Protocol(protocol) => is_advertised |= *protocol == AddressProtocol::RouterAnnouncement,
            // The only mark before Linux 5.18; where a program handles advertisements itself, accept_ra is 0.
            AddressAttribute::Flags(flags) => is_advertised |= flags.contains(AddressFlags::Managetempaddr),
            AddressAttribute::CacheInfo(info) => ends = info.ifa_valid != u32::MAX,
            _ => {}
        }
    }
    let address = IpNetwork::new(address?, header.prefix_len).ok()?;
    let counts = address.is_ipv6() && header.scope == AddressScope::Universe && is_advertised && ends;
    counts.then_some((header.index, Learned::Address(address)))
}

/// A route from an advertisement, with each link of its next hops: one whose protocol is RA, or the kernel's route of an
/// advertised prefix, which has a lifetime.
fn learned_route(message: &Message<'_>) -> Vec<(u32, Learned)> {
    let (fixed, attributes) = message.split(RTMSG);
    let byte = |at: usize| fixed.get(at).copied();
    let left = || attributes.find(RTA_CACHEINFO).and_then(|info| u32_at(info, EXPIRES)).map(u32::cast_signed);
    let counts = match byte(PROTOCOL) {
        Some(BY_ADVERTISEMENT) => true,
        Some(BY_KERNEL) => left().is_some_and(|left| left > 0),
        _ => false,
    };
    let (true, Some(UNICAST), Some(prefix)) = (counts, byte(TYPE), byte(PREFIX)) else { return Vec::new() };
    let destination = attributes.find(RTA_DST).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
    let destination = destination.map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from);
    let Ok(destination) = IpNetwork::new(destination.into(), prefix) else { return Vec::new() };
    let learned = if prefix == 0 { Learned::DefaultRoute } else { Learned::Route(destination) };
    links(attributes).into_iter().map(|link| (link, learned)).collect()
}

fn links(attributes: Attributes<'_>) -> Vec<u32> {
    let mut links = Vec::new();
    for (kind, value) in attributes {
        match kind {
            RTA_OIF => links.extend(u32_at(value, 0)),
            // `struct rtnexthop`: its length, two bytes, and the link's index.
            RTA_MULTIPATH => {
                let mut hops = value;
                while let (Some(length), Some(link)) = (u16_at(hops, 0), u32_at(hops, 4)) {
                    links.push(link);
                    hops = hops.get(usize::from(length).max(8).next_multiple_of(4)..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    links
}

#[cfg(test)]
mod tests;

//! The node's own side before a link is made: forwarding for the families that the pod has, and the MTU to inherit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink::{Link, Lookup, Route, Selector, Socket};

use crate::error::Error;
use crate::settings::MTU;
use crate::sysctl::{self, Sysctl};

/// An address that no network routes specially (TEST-NET-1, RFC 5737): the default route answers for it.
pub(crate) const ANYWHERE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The same for IPv6 (RFC 3849).
pub(crate) const ANYWHERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The MTU of a node that has no default route: Ethernet's.
const DEFAULT_MTU: u32 = 1500;

/// `RTPROT_RA`: a route learned from a router advertisement.
const ROUTER_ADVERTISEMENT: u8 = 9;

/// The MTU of the default route's link, IPv4's first.
pub(crate) fn inherited_mtu(host: &mut Socket) -> Result<u32, Error> {
    for anywhere in [ANYWHERE_V4, ANYWHERE_V6] {
        let Some(device) = route_to(host, Lookup::Packet, anywhere)?.and_then(|route| route.device) else { continue };
        // A default route that ends at the node (by lo, whose MTU no veth takes) says nothing of the way out.
        if let Some(link) = Link::find(host, Selector::Index(device))?.filter(|link| MTU.contains(&link.mtu)) {
            return Ok(link.mtu);
        }
    }
    Ok(DEFAULT_MTU)
}

/// Switches forwarding on for a family where it is off.
pub(crate) fn ensure_forwarding(host: &mut Socket, v6: bool) -> Result<(), Error> {
    if !v6 {
        return Ok(Sysctl::forwarding_v4().ensure("1")?);
    }
    let forwarding = Sysctl::forwarding_v6();
    match forwarding.read()?.as_deref() {
        None => Err(Error::NoV6),
        Some("0") => {
            refuse_to_cut_off(host)?;
            Ok(forwarding.write("1")?)
        }
        Some(_) => Ok(()),
    }
}

/// A forwarding node ignores router advertisements unless accept_ra is 2: a default route learned so would expire.
fn refuse_to_cut_off(host: &mut Socket) -> Result<(), Error> {
    let Some(route) = route_to(host, Lookup::Entry, ANYWHERE_V6)? else { return Ok(()) };
    let (ROUTER_ADVERTISEMENT, Some(device)) = (route.protocol, route.device) else { return Ok(()) };
    let Some(link) = Link::find(host, Selector::Index(device))? else { return Ok(()) };
    if Sysctl::link_v6(&link.name, "accept_ra").read()?.as_deref() == Some("1") {
        return Err(Error::ForwardingWouldCutOff { link: link.name });
    }
    Ok(())
}

/// The route that an address takes; `None` when there is none.
pub(crate) fn route_to(socket: &mut Socket, lookup: Lookup, address: IpAddr) -> Result<Option<Route>, Error> {
    let answer = socket.get(lookup.of(address))?;
    Ok(answer.ok().as_ref().and_then(Route::from_message))
}

/// Prepares a new host end before it is set up: the far side must not be its router, nor reach the node past IPv4.
pub(crate) fn close_v6(name: &str, pod_has_v6: bool) -> Result<(), sysctl::Error> {
    Sysctl::link_v6(name, "accept_ra").ensure("0")?;
    let disable = Sysctl::link_v6(name, "disable_ipv6");
    if pod_has_v6 {
        return disable.ensure("0");
    }
    match Sysctl::forwarding_v6().read()?.as_deref() {
        Some("1") => disable.ensure("1"),
        _ => Ok(()),
    }
}

//! Forwarding of a node: switched on only for a family that pods have, and never where that would cut the node off.

use crate::{DefaultRoute, Error, Link, Lookup, Procfs, Selector, Socket, Sysctl, SysctlError, forwards};

/// `RTPROT_RA`: a route learned from a router advertisement.
const ROUTER_ADVERTISEMENT: u8 = 9;

/// Why forwarding was not switched on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ForwardingError {
    #[error("{0}")]
    Sysctl(#[from] SysctlError),
    #[error("{0}")]
    Netlink(#[from] Error),
    #[error("give the pod an IPv6 address: the kernel has no IPv6 (is it booted with ipv6.disable=1?)")]
    NoV6,
    #[error(
        "switch on IPv6 forwarding: the default route of {link} was learned from a router advertisement and would be \
         lost, and the node with it; set net.ipv6.conf.{link}.accept_ra=2 first"
    )]
    WouldCutOff { link: String },
}

/// Switches forwarding on for a family where it is off.
pub fn ensure_forwarding(host: &mut Socket, procfs: &Procfs, v6: bool) -> Result<(), ForwardingError> {
    match (forwards(host, v6)?, v6) {
        (Some(true), _) => Ok(()),
        (_, false) => Ok(Sysctl::forwarding_v4().write(procfs, "1")?),
        (None, true) => Err(ForwardingError::NoV6),
        (Some(false), true) => match cut_off_by_forwarding(host, procfs)? {
            Some(link) => Err(ForwardingError::WouldCutOff { link }),
            None => Ok(Sysctl::forwarding_v6().write(procfs, "1")?),
        },
    }
}

/// The link whose IPv6 default route a forwarding node would lose, if there is one: it was learned from a router
/// advertisement, and a forwarding node ignores those unless accept_ra is 2.
pub fn cut_off_by_forwarding(host: &mut Socket, procfs: &Procfs) -> Result<Option<String>, ForwardingError> {
    let Some(route) = DefaultRoute::V6.ask(host, Lookup::Entry)? else { return Ok(None) };
    let (ROUTER_ADVERTISEMENT, Some(device)) = (route.protocol, route.device) else { return Ok(None) };
    let Some(link) = Link::find(host, Selector::Index(device))? else { return Ok(None) };
    let ignored = Sysctl::link_v6(&link.name, "accept_ra").read(procfs)?.as_deref() == Some("1");
    Ok(ignored.then_some(link.name))
}

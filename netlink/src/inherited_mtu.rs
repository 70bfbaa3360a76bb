//! The MTU that a node's pods inherit where none is configured. The plugin, the agent and doctor ask here, so that they agree.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use crate::{Error, Family, Link, Lookup, Route, Selector, Socket, default_route};

/// The smallest MTU of an IPv4 link (`ETH_MIN_MTU`; RFC 791) and the largest that veth takes.
pub const MTU: RangeInclusive<u32> = 68..=65_535;

/// Ethernet's.
const DEFAULT_MTU: u32 = 1500;

/// `RTPROT_KERNEL`: the route of an address's own subnet.
const OF_A_SUBNET: u8 = 2;

/// An MTU, and what was looked at for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InheritedMtu {
    /// Bytes.
    pub mtu: u32,
    /// Where it comes from.
    pub of: MtuOf,
}

/// Where the MTU that pods inherit comes from, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MtuOf {
    /// The link of the default route, IPv4's first.
    DefaultRoute(String),
    /// The links by which the nodes are reached, the smallest of them, as the agent knows them.
    Nodes,
    /// The links of this node's own subnets, the smallest of them.
    Subnets(Vec<String>),
    /// None of these: Ethernet's.
    #[default]
    Nothing,
}

/// The MTU that pods inherit. `nodes` is asked only where there is no default route.
pub fn inherited_mtu(host: &mut Socket, nodes: impl FnOnce() -> Option<u32>) -> Result<InheritedMtu, Error> {
    if let Some(link) = by_default_route(host)? {
        return Ok(InheritedMtu { mtu: link.mtu, of: MtuOf::DefaultRoute(link.name) });
    }
    if let Some(mtu) = nodes().filter(|mtu| MTU.contains(mtu)) {
        return Ok(InheritedMtu { mtu, of: MtuOf::Nodes });
    }
    let links = of_subnets(host)?;
    Ok(match links.iter().map(|link| link.mtu).min() {
        Some(mtu) => InheritedMtu { mtu, of: MtuOf::Subnets(links.into_iter().map(|link| link.name).collect()) },
        None => InheritedMtu { mtu: DEFAULT_MTU, of: MtuOf::Nothing },
    })
}

fn by_default_route(host: &mut Socket) -> Result<Option<Link>, Error> {
    for family in Family::BOTH {
        let route = default_route(host, family, Lookup::Packet)?;
        let Some(device) = route.and_then(|route| route.device) else { continue };
        if let Some(link) = usable(host, device)? {
            return Ok(Some(link));
        }
    }
    Ok(None)
}

/// The links of the subnets in the main table, IPv6's where there is none of IPv4. The kernel selects these few routes; the
/// links to pods have none of IPv4, and of IPv6 the link-local one alone.
fn of_subnets(host: &mut Socket) -> Result<Vec<Link>, Error> {
    for family in Family::BOTH {
        let subnet = |route: Route| {
            let local = route.destination.ip().is_loopback() || is_link_local(&route);
            route.device.filter(|_| route.protocol == OF_A_SUBNET && !local)
        };
        let request = Route::dump(family, OF_A_SUBNET);
        let devices = host.dump(request, |message| Route::from_message(&message).and_then(subnet));
        let devices: BTreeSet<u32> = match devices {
            Ok(devices) => devices.into_iter().collect(),
            // A kernel without IPv6 has no such subnets.
            Err(Error::Dump(_)) if family == Family::V6 => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        let mut links = Vec::new();
        for device in devices {
            links.extend(usable(host, device)?);
        }
        if !links.is_empty() {
            return Ok(links);
        }
    }
    Ok(Vec::new())
}

fn is_link_local(route: &Route) -> bool {
    matches!(route.destination.ip(), std::net::IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// A link whose MTU a pod can have. A route that ends at the node (by lo, whose MTU no veth takes) does not lead out.
fn usable(host: &mut Socket, device: u32) -> Result<Option<Link>, Error> {
    Ok(Link::find(host, Selector::Index(device))?.filter(|link| link.up && MTU.contains(&link.mtu)))
}

impl fmt::Display for MtuOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefaultRoute(link) => write!(f, "that of the default route's link {link}"),
            Self::Nodes => {
                write!(f, "the smallest of the links by which the nodes are reached, for there is no default route")
            }
            Self::Subnets(links) => {
                let links = links.join(", ");
                write!(f, "the smallest of the links of this node's subnets ({links}), for there is no default route")
            }
            Self::Nothing => write!(f, "Ethernet's, for there is neither a default route nor a subnet"),
        }
    }
}

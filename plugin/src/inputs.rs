//! What goes into a plan: the pod's routes and the link's text, from the request and from what the IPAM gave.

use std::fmt::Write as _;

use cni::{Attachment, Code, Dns, Error, Request, Route};
use netlink::Family;
use podlink::Identity;

use crate::assignment::Assignment;
use crate::plan::{PodRoute, gateway};

/// `RT_SCOPE_LINK`.
pub(crate) const LINK_SCOPE: u32 = 253;

/// The longest alias that the kernel takes (`IFALIASZ` without the end).
const ALIAS: usize = 255;

/// The routes that the pod will have: those asked for, and a default route for each family that has none. A gateway
/// other than the IPAM's or ours cannot be honoured: 7.
pub(crate) fn pod_routes(assignment: &Assignment) -> Result<Vec<PodRoute>, Error> {
    let mut routes = Vec::with_capacity(2);
    for family in Family::BOTH {
        if !assignment.addresses.iter().any(|address| family.holds(*address)) {
            continue;
        }
        let before = routes.len();
        for route in assignment.routes.iter().filter(|route| family.holds(route.dst.ip())) {
            require_known_gateway(route, assignment)?;
            routes.push(pod_route(route));
        }
        if routes.len() == before {
            routes.push(PodRoute::default_of(family));
        }
    }
    Ok(routes)
}

fn require_known_gateway(route: &Route, assignment: &Assignment) -> Result<(), Error> {
    match route.gw {
        Some(gw) if gw != gateway(Family::of(gw)) && !assignment.gateways.contains(&gw) => {
            Err(Error::new(Code::InvalidConfig, "invalid network config: routes").with_details(format!(
                "the gateway {gw} of route {} is no range's gateway; a pod's only next hop is its node: leave gw out",
                route.dst
            )))
        }
        _ => Ok(()),
    }
}

/// A route of a configuration or a result, as the pod gets it.
pub(crate) fn pod_route(route: &Route) -> PodRoute {
    PodRoute {
        destination: route.dst,
        priority: route.priority.unwrap_or(0),
        table: route.table.filter(|&table| table != 0),
        on_link: route.scope == Some(LINK_SCOPE),
        mtu: route.mtu,
        advmss: route.advmss,
    }
}

/// The host end's text for people: the hash first, then whose link it is; cut at a character's end.
pub(crate) fn alias(request: &Request, attachment: &Attachment, identity: &Identity) -> String {
    let network = &request.config.name;
    let mut alias =
        format!("{} {} {network} {} {}", podlink::ALIAS, identity.key, attachment.container_id, attachment.ifname);
    if let Some(pod) = &request.args.pod {
        let _ = write!(alias, " {pod}");
    }
    alias.truncate(alias.floor_char_boundary(ALIAS));
    alias
}

/// The configured DNS when any of its fields is given, else what the IPAM knows (S-178, S-179); the runtime's first.
pub(crate) fn dns(request: &Request, from_ipam: Dns) -> Dns {
    let configured = request.config.runtime.dns.as_ref().or(request.config.dns.as_ref());
    configured.cloned().unwrap_or(from_ipam)
}

#[cfg(test)]
mod tests;

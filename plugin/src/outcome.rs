//! From leases to a plan's routes and text, and from a plan to the printed result.

use std::fmt::Write as _;
use std::path::Path;

use cni::{AddResult, Attachment, Code, Dns, Error, Interface, IpConfig, Request, Route};
use podlink::Identity;

use crate::addressing::Assignment;
use crate::error;
use crate::plan::{Plan, PodRoute, gateway};

/// `RT_SCOPE_LINK`.
const LINK_SCOPE: u32 = 253;

/// The longest alias that the kernel takes (`IFALIASZ` without the end).
const ALIAS: usize = 255;

/// The routes that the pod will have: those asked for, and a default route for each family that has none. A gateway
/// other than the IPAM's or ours cannot be honoured: 7.
pub(crate) fn pod_routes(assignment: &Assignment) -> Result<Vec<PodRoute>, Error> {
    let mut routes = Vec::with_capacity(2);
    for v6 in [false, true] {
        if !assignment.addresses.iter().any(|address| address.is_ipv6() == v6) {
            continue;
        }
        let before = routes.len();
        for route in assignment.routes.iter().filter(|route| route.dst.is_ipv6() == v6) {
            require_known_gateway(route, assignment)?;
            routes.push(pod_route(route));
        }
        if routes.len() == before {
            routes.push(PodRoute::default_of(v6));
        }
    }
    Ok(routes)
}

/// Of a printed result: the routes that go by our gateway.
pub(crate) fn our_routes(result: &AddResult) -> Vec<PodRoute> {
    result.routes.iter().filter(|route| route.gw == Some(gateway(route.dst.is_ipv6()))).map(pod_route).collect()
}

fn require_known_gateway(route: &Route, assignment: &Assignment) -> Result<(), Error> {
    match route.gw {
        Some(gw) if gw != gateway(gw.is_ipv6()) && !assignment.gateways.contains(&gw) => {
            Err(Error::new(Code::InvalidConfig, "invalid network config: routes").with_details(format!(
                "the gateway {gw} of route {} is no range's gateway; a pod's only next hop is its node: leave gw out",
                route.dst
            )))
        }
        _ => Ok(()),
    }
}

fn pod_route(route: &Route) -> PodRoute {
    PodRoute {
        destination: route.dst,
        priority: route.priority.unwrap_or(0),
        table: route.table.filter(|&table| table != 0),
        on_link: route.scope == Some(LINK_SCOPE),
        mtu: route.mtu,
        advmss: route.advmss,
    }
}

/// Where a result has our interface: of our name, in the pod's namespace.
pub(crate) fn ours_in(result: &AddResult, attachment: &Attachment, netns: &Path) -> Option<usize> {
    result.interfaces.iter().position(|interface| {
        interface.name == attachment.ifname.as_str() && interface.sandbox.as_deref() == netns.to_str()
    })
}

/// The earlier plugins' result, when we are not the first of a chain; it must not have our interface (E-55).
pub(crate) fn previous(request: &Request, attachment: &Attachment, netns: &Path) -> Result<AddResult, Error> {
    let previous = request.config.previous_result()?.unwrap_or_default();
    if ours_in(&previous, attachment, netns).is_some() {
        return Err(error::Error::InterfaceExists { ifname: attachment.ifname.to_string() }.into());
    }
    Ok(previous)
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

/// What an ADD made.
pub(crate) struct Outcome<'a> {
    /// The pod's namespace, as the runtime spells it.
    pub(crate) netns: &'a Path,
    /// The attachment.
    pub(crate) attachment: &'a Attachment,
    /// Its identity.
    pub(crate) identity: &'a Identity,
    /// What was applied.
    pub(crate) plan: &'a Plan,
    /// The MTU of both ends, bytes.
    pub(crate) mtu: u32,
}

impl Outcome<'_> {
    /// The result: what earlier plugins made, then ours, its indices counted on (S-127, S-176).
    pub(crate) fn result(&self, previous: AddResult, dns: Dns) -> AddResult {
        let mut result = previous;
        let pod_end = result.interfaces.len() + 1;
        result.interfaces.extend([
            self.interface(&self.identity.host_name, self.plan.host_mac, None),
            self.interface(
                self.attachment.ifname.as_str(),
                self.plan.pod_mac,
                Some(self.netns.to_string_lossy().into_owned()),
            ),
        ]);
        result.ips.extend(self.plan.addresses.iter().map(|&address| IpConfig {
            address,
            gateway: Some(gateway(address.is_ipv6())),
            interface: Some(pod_end),
        }));
        result.routes.extend(self.plan.routes.iter().map(route));
        result.dns = dns;
        result
    }

    fn interface(&self, name: &str, mac: cni::MacAddress, sandbox: Option<String>) -> Interface {
        Interface {
            name: name.to_owned(),
            mac: Some(mac.to_string()),
            mtu: Some(self.mtu),
            sandbox,
            socket_path: None,
            pci_id: None,
        }
    }
}

fn route(route: &PodRoute) -> Route {
    Route {
        dst: route.destination,
        gw: (!route.on_link).then_some(gateway(route.destination.is_ipv6())),
        mtu: route.mtu,
        advmss: route.advmss,
        priority: (route.priority != 0).then_some(route.priority),
        table: route.table,
        scope: route.on_link.then_some(LINK_SCOPE),
    }
}

#[cfg(test)]
mod tests;

//! The printed result: what earlier plugins made, then what ADD made; and ours found in it again, for CHECK.

use std::path::Path;

use cni::{AddResult, Attachment, Dns, Error, Interface, IpConfig, Request, Route};
use netlink::Family;
use podlink::Identity;

use crate::error;
use crate::inputs::{LINK_SCOPE, pod_route};
use crate::plan::{Plan, PodRoute, gateway};

/// Of a printed result: the routes that go by our gateway.
pub(crate) fn our_routes(result: &AddResult) -> Vec<PodRoute> {
    result.routes.iter().filter(|route| route.gw == Some(gateway(Family::of(route.dst.ip())))).map(pod_route).collect()
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
        return Err(error::set_up(error::Error::InterfaceExists { ifname: attachment.ifname.to_string() }));
    }
    Ok(previous)
}

/// What an ADD made.
pub(crate) struct Made<'a> {
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

impl Made<'_> {
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
            gateway: Some(gateway(Family::of(address.ip()))),
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
        gw: (!route.on_link).then_some(gateway(Family::of(route.destination.ip()))),
        mtu: route.mtu,
        advmss: route.advmss,
        priority: (route.priority != 0).then_some(route.priority),
        table: route.table,
        scope: route.on_link.then_some(LINK_SCOPE),
    }
}

#[cfg(test)]
mod tests;

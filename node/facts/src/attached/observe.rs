//! Looks at the pods' links, and into their namespaces. Decides nothing.

use std::path::Path;

use netlink::{Address, Family, Link, Route, Selector, Socket};
use podlink::Netns;

use super::{Attached, Inside};
use crate::{Leases, Seen};

/// The pods of all leases.
pub fn observe(leases: &Leases, links: &[Link]) -> Vec<Attached> {
    let own = Socket::open()
        .map_err(|error| error.to_string())
        .and_then(|socket| Netns::of(&socket).map_err(|error| format!("failed to {error}")));
    let look = |(network, lease, presence): &(String, ipam::Lease, ipam::Presence)| {
        let host_link = lease.proof.host_link.as_deref();
        let link = links.iter().find(|link| Some(link.name.as_str()) == host_link).cloned();
        let mut pod =
            Attached { network: network.clone(), lease: lease.clone(), presence: *presence, link, inside: None };
        if pod.is_podlans() && pod.lives() {
            pod.inside = Some(own.as_ref().map_err(Clone::clone).and_then(|own| inside(&pod, own)));
        }
        pod
    };
    leases.all.iter().map(look).collect()
}

fn inside(pod: &Attached, own: &Netns) -> Seen<Inside> {
    let (path, lease) = (pod.lease.proof.netns.as_path(), &pod.lease);
    let failed = |error: &dyn std::fmt::Display| format!("failed to look into {}: {error}", path.display());
    let netns = Netns::of_pod(path, own).map_err(|error| failed(&error))?;
    if lease.proof.netns_id.is_some_and(|id| id != netns.identity()) {
        return Err(format!("{} is another network namespace now", path.display()));
    }
    let mut socket = netns.socket().map_err(|error| failed(&error))?;
    look(&mut socket, lease.owner.ifname.as_str(), Family::of(lease.address.ip())).map_err(|error| failed(&error))
}

fn look(socket: &mut Socket, ifname: &str, family: Family) -> Result<Inside, netlink::Error> {
    let Some(link) = Link::find(socket, Selector::Name(ifname))? else { return Ok(Inside::default()) };
    let addresses = socket.dump(Address::dump(link.index), |message| Address::from_message(&message))?;
    let of_link = addresses.into_iter().filter(|address| address.device == link.index);
    let addresses = of_link.map(|address| address.address.ip()).collect();
    let routes = socket.dump(Route::dump_by_device(family, link.index), |message| Route::from_message(&message))?;
    let routed = routes.iter().any(|route| route.gateway.is_some() && family.holds(route.destination.ip()));
    Ok(Inside { there: true, up: link.up, addresses, routed })
}

/// How a namespace is entered by nsenter(1).
pub fn nsenter(path: &Path) -> String {
    format!("nsenter --net={}", path.display())
}

//! Puts back what the plugin made for living pods on the node's side: the host link up, its own addresses, the routes to the
//! pods. As the plan of CHECK has it; never in the place of a route of another program, and never beside an ADD under way.

use std::net::{IpAddr, Ipv6Addr};

use ipam::Stamp;
use ipnetwork::IpNetwork;
use netlink::{Address, POD_ROUTE, Request, Route, Socket};
use nix::errno::Errno;

use super::super::checks::attachments::host_source;
use facts::Facts;
use facts::attached::Attached;
use netlink::Link;

/// An ADD that is under way has made its lease, not yet its link or route.
const UNDER_WAY: u64 = 3_000;

/// Puts it back; returns what, for people.
pub fn put_back(facts: &Facts) -> Result<Vec<String>, String> {
    let now = facts.leases()?.now;
    let mut requests: Vec<(Request, Option<String>)> = Vec::new();
    for pod in facts.pods()?.iter().filter(|pod| pod.is_podlans() && pod.lives() && is_made(pod, now)) {
        // A link is hardened when it gets its alias; before, it must not be up.
        let Some(link) = pod.link.as_ref().filter(|link| !link.alias.is_empty()) else { continue };
        let (address, name) = (pod.lease.address.ip(), pod.name());
        if !link.up {
            let what = format!("set {}, the host link of {name}, up", link.name);
            requests.push((Link::up(link.index), Some(what)));
            requests.extend(of_link(pod, link).into_iter().map(|request| (request, None)));
        }
        let is_there = |route: &Route| route.destination.ip() == address && route.device == Some(link.index);
        if !link.up || !facts.kernel()?.routes.iter().any(is_there) {
            let source = host_source(facts, &pod.network, address);
            // Added, not replaced: a route of another program stays.
            let route = Route { device: Some(link.index), source, ..Route::to(address.into(), POD_ROUTE) };
            requests.push((route.add(), Some(format!("put the route to {address} ({name}) by {} back", link.name))));
        }
    }
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let (mut requests, what): (Vec<Request>, Vec<Option<String>>) = requests.into_iter().unzip();
    let failed = |error: &dyn std::fmt::Display| format!("failed to put the links and routes of pods back: {error}");
    let mut host = Socket::open().map_err(|error| failed(&error))?;
    let verdicts = host.request(&mut requests).map_err(|error| failed(&error))?;
    let mut done = Vec::new();
    for (verdict, what) in verdicts.into_iter().zip(what) {
        match verdict {
            Ok(()) => done.extend(what),
            // Another program's route is in its place: the check foreign-routes names it.
            Err(refused) if refused.errno == Errno::EEXIST => {}
            Err(refused) => return Err(failed(&refused)),
        }
    }
    Ok(done)
}

fn is_made(pod: &Attached, now: Stamp) -> bool {
    let since = pod.lease.since;
    since.boot != now.boot || since.millis.saturating_add(UNDER_WAY) <= now.millis
}

/// IPv6 addresses, and the routes by them, go with the link.
fn of_link(pod: &Attached, link: &Link) -> Vec<Request> {
    let mut requests = Vec::new();
    if pod.lease.address.is_ipv6() {
        let gateway = IpNetwork::from(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)));
        requests.push(Address { address: gateway, device: link.index, link_scope: true }.add());
        let route = Route::to(pod.link_local().into(), POD_ROUTE);
        requests.push(Route { device: Some(link.index), metric: link.index, ..route }.add());
    }
    requests
}

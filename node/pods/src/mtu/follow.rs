//! Has the pods' links follow: looks at each that may have to, and obeys the plan. The pod's end takes entering its network
//! namespace, and so `CAP_SYS_ADMIN`: no message from outside changes it (one that names a link of another namespace by
//! `IFLA_TARGET_NETNSID` moves a link of this one there). Whatever cannot be done says why, with the pod's name.

use std::collections::{BTreeMap, BTreeSet};

use ipam::Lease;
use netlink::{Family, Link, POD_ROUTE, Request, Route, Selector, Socket, is_pod_link};
use podlink::{Identity, Netns};

use super::plan::{Ends, Step, crosses_v6, is_inherited, steps};
use crate::leases::Stores;

/// Which links follow.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Those that inherited one of these.
    Inherited(&'a [u32]),
    /// All whose ends agree, or whose pod end is right: the operator says so.
    Any,
}

/// What became of the links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Those that have the MTU now, by their pods' names.
    pub changed: Vec<String>,
    /// Those that should and do not, each with the reason.
    pub kept: Vec<String>,
}

/// Has the links of this node's pods follow to `wanted`, but for those of networks that chose an MTU.
pub fn follow(
    stores: &[Stores],
    wanted: u32,
    whose: Whose<'_>,
    chosen: &BTreeSet<String>,
) -> Result<Followed, netlink::Error> {
    let mut host = Socket::open()?;
    let (links, routes) = look(&mut host)?;
    let is_due = |link: &&Link| link.mtu != wanted || routes_of(&routes, link).any(|route| route.mtu_locked);
    let due: Vec<&Link> = links.iter().filter(is_due).collect();
    let mut followed = Followed::default();
    if due.is_empty() {
        return Ok(followed);
    }
    let pods = pods(stores);
    for link in due {
        let held = routes_of(&routes, link).any(|route| route.mtu_locked);
        let Some(pod) = pods.get(&link.name) else {
            // Without a lease of ours nobody knows where its other end is.
            if is_candidate(link, held, whose) && !chosen.contains(network_of(link)) {
                followed.kept.push(format!("{}: no lease says whose it is", link.name));
            }
            continue;
        };
        if !is_candidate(link, held, whose) || chosen.contains(&pod.network) {
            continue;
        }
        let routes: Vec<&Route> = routes_of(&routes, link).collect();
        match one(&mut host, link, &routes, pod, wanted, whose) {
            Ok(true) => followed.changed.push(pod.name.clone()),
            Ok(false) => {}
            Err(why) => followed.kept.push(format!("{} ({}): {why}", pod.name, link.name)),
        }
    }
    Ok(followed)
}

/// A pod as its lease knows it.
struct Pod {
    name: String,
    network: String,
    lease: Lease,
}

/// By the names of their host ends.
fn pods(stores: &[Stores]) -> BTreeMap<String, Pod> {
    // What cannot be read is named by its links.
    let leases = stores.iter().flat_map(|stores| stores.all().leases);
    let pod = |(network, lease): (cni::NetworkName, Lease)| {
        let link = Identity::of(&network, &lease.owner).host_name;
        let name = lease.proof.pod.clone().unwrap_or_else(|| lease.owner.container_id.to_string());
        (link, Pod { name, network: network.to_string(), lease })
    };
    leases.map(pod).collect()
}

fn look(host: &mut Socket) -> Result<(Vec<Link>, Vec<Route>), netlink::Error> {
    let ours = |link: Link| (link.veth && is_pod_link(&link.name)).then_some(link);
    let links = host.dump(Link::dump(), |message| Link::from_message(&message).and_then(ours))?;
    let mut routes = host.dump(Route::dump(Family::V4, POD_ROUTE), |message| Route::from_message(&message))?;
    if netlink::kernel_has_v6() {
        routes.extend(host.dump(Route::dump(Family::V6, POD_ROUTE), |message| Route::from_message(&message))?);
    }
    Ok((links, routes))
}

fn routes_of<'a>(routes: &'a [Route], link: &Link) -> impl Iterator<Item = &'a Route> {
    let device = Some(link.index);
    routes.iter().filter(move |route| route.device == device)
}

/// The alias has it third.
fn network_of(link: &Link) -> &str {
    link.alias.split(' ').nth(2).unwrap_or_default()
}

/// Whether it may be due, as far as the host end says.
fn is_candidate(link: &Link, held: bool, whose: Whose<'_>) -> bool {
    match whose {
        Whose::Inherited(former) => held || former.contains(&link.mtu),
        Whose::Any => true,
    }
}

/// Brings one link to `wanted`; false where somebody chose otherwise for it.
fn one(
    host: &mut Socket,
    link: &Link,
    routes: &[&Route],
    pod: &Pod,
    wanted: u32,
    whose: Whose<'_>,
) -> Result<bool, String> {
    let (mut inside, there) = enter(host, link, &pod.lease)?;
    let held = routes.iter().filter(|route| route.mtu_locked).find_map(|route| route.mtu);
    let ends = Ends { host: link.mtu, pod: there.mtu, held };
    let due = match whose {
        Whose::Inherited(former) => is_inherited(ends, former),
        Whose::Any => held.is_some() || ends.host == ends.pod || ends.pod == wanted,
    };
    if !due {
        return match whose {
            Whose::Inherited(_) => Ok(false),
            Whose::Any => Err(format!("somebody gave its other end {}", ends.pod)),
        };
    }
    if crosses_v6(ends, wanted) {
        return Err(format!("IPv6 comes to a link, or goes, with its settings, between {} and {wanted}", ends.host));
    }
    for step in steps(ends, wanted) {
        let done = match step {
            Step::Hold(mtu) => change(host, routes.iter().map(|route| hold(route, Some(mtu)))),
            Step::Release => change(host, routes.iter().map(|route| hold(route, None))),
            Step::Host(mtu) => change(host, [Link::set_mtu(link.index, mtu)]),
            Step::Pod(mtu) => change(&mut inside, [Link::set_mtu(there.index, mtu)]),
        };
        done.map_err(|error| format!("{step:?}: {error}"))?;
    }
    Ok(true)
}

/// The pod's end, and a socket beside it. The namespace must be the lease's, and the link this one's other end.
fn enter(host: &Socket, link: &Link, lease: &Lease) -> Result<(Socket, Link), String> {
    let path = &lease.proof.netns;
    let failed = |error: podlink::NetnsError| format!("failed to {error}");
    let own = Netns::of(host).map_err(failed)?;
    let netns = Netns::of_pod(path, &own).map_err(failed)?;
    if lease.proof.netns_id != Some(netns.identity()) {
        return Err(format!("{} is another network namespace now", path.display()));
    }
    let mut inside = netns.socket().map_err(failed)?;
    let name = lease.owner.ifname.as_str();
    let there = Link::find(&mut inside, Selector::Name(name)).map_err(|error| error.to_string())?;
    match there.filter(|there| there.veth && there.peer == Some(link.index)) {
        Some(there) => Ok((inside, there)),
        None => Err(format!("{name} in {} is not its other end", path.display())),
    }
}

fn hold(route: &Route, mtu: Option<u32>) -> Request {
    Route { mtu, mtu_locked: mtu.is_some(), ..route.clone() }.replace()
}

fn change(socket: &mut Socket, requests: impl IntoIterator<Item = Request>) -> Result<(), String> {
    let verdicts = socket.request(&mut requests.into_iter().collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    verdicts.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
}

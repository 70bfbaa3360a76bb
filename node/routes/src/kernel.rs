//! The kernel as the reconciler uses it, and the real one over rtnetlink. No decision is made here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::{
    Address, Family, FibEntry, HOST_LINK_PREFIX, KernelError, NODE_ROUTE, Request, Route, RouteKind, Socket,
};
use nix::errno::Errno;

use super::here::{Here, Link};
use super::plan::Change;
use super::protocol;
use super::{Key, Routes, Target};

/// What the reconciler asks of a kernel. An error is the socket's: nothing is known of what was asked.
pub trait Kernel {
    /// The links and addresses of this node.
    fn here(&mut self) -> Result<Here, netlink::Error>;
    /// All routes of the main table under the node-route number.
    fn routes(&mut self) -> Result<Routes, netlink::Error>;
    /// The entries of the routing tables that these addresses take, in their order, or why they take none.
    fn entries(&mut self, addresses: &[IpAddr]) -> Result<Vec<Result<FibEntry, KernelError>>, netlink::Error>;
    /// Makes the changes in order; a refused one stops none of those after it.
    fn change(&mut self, changes: &[Change]) -> Result<Vec<Result<(), Refusal>>, netlink::Error>;
    /// The routes of other owners under these keys, as text for people.
    fn holders(&mut self, keys: &BTreeSet<Key>) -> Result<BTreeMap<Key, String>, netlink::Error>;
}

/// Why the kernel refused a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A route of the same destination and metric is there.
    Exists,
    /// There is no such route.
    Absent,
    /// It could not now: memory, rights.
    Unable(String),
    /// Anything else, in the kernel's words.
    Other(String),
}

/// The kernel of the network namespace in which it was opened.
pub struct Rtnetlink {
    socket: Socket,
}

impl Rtnetlink {
    /// Opens a socket in this network namespace.
    pub fn open() -> Result<Self, netlink::Error> {
        Ok(Self { socket: Socket::open()? })
    }

    /// How many objects could not be read and were left out, since this was last asked.
    pub fn take_unreadable(&mut self) -> u64 {
        self.socket.take_unreadable()
    }

    /// All routes of the main table, of any protocol.
    pub fn all_routes(&mut self) -> Result<Vec<Route>, netlink::Error> {
        self.each_family(|family| Route::dump(family, 0), Some)
    }

    /// The addresses that this node's own traffic may have as its source, in the kernel's order.
    pub fn sources(&mut self) -> Result<Vec<IpAddr>, netlink::Error> {
        let addresses = self.socket.dump(Address::dump(0), |message| Address::from_message(&message))?;
        let global = |address: &Address| !address.link_scope && !address.address.ip().is_loopback();
        Ok(addresses.into_iter().filter(global).map(|address| address.address.ip()).collect())
    }

    fn each_family<T>(
        &mut self,
        ask: impl Fn(Family) -> Request,
        keep: impl Fn(Route) -> Option<T>,
    ) -> Result<Vec<T>, netlink::Error> {
        let mut all = Vec::new();
        for family in Family::BOTH {
            match self.socket.dump(ask(family), |message| Route::from_message(&message).and_then(&keep)) {
                Ok(found) => all.extend(found),
                // A kernel without IPv6 has no IPv6 routes.
                Err(netlink::Error::Dump(refused)) if family == Family::V6 && lacks_family(&refused) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

impl Kernel for Rtnetlink {
    fn here(&mut self) -> Result<Here, netlink::Error> {
        let links = self.socket.dump(netlink::Link::dump(), |message| netlink::Link::from_message(&message))?;
        let links: BTreeMap<_, _> = links.iter().filter(|link| !is_pod_link(&link.name)).map(link_here).collect();
        let addresses = self.socket.dump(Address::dump(0), |message| Address::from_message(&message))?;
        let ours = |address: &Address| !address.link_scope && links.contains_key(&address.device);
        let addresses = addresses.into_iter().filter(ours).map(|address| (address.device, address.address)).collect();
        Ok(Here { links, addresses })
    }

    fn routes(&mut self) -> Result<Routes, netlink::Error> {
        let ours = self.each_family(|family| Route::dump(family, NODE_ROUTE), |route| observed(&route))?;
        Ok(ours.into_iter().collect())
    }

    fn entries(&mut self, addresses: &[IpAddr]) -> Result<Vec<Result<FibEntry, KernelError>>, netlink::Error> {
        FibEntry::ask(&mut self.socket, addresses)
    }

    fn change(&mut self, changes: &[Change]) -> Result<Vec<Result<(), Refusal>>, netlink::Error> {
        let mut requests: Vec<Request> = changes.iter().map(request).collect();
        let verdicts = self.socket.request(&mut requests)?;
        Ok(verdicts.into_iter().map(|verdict| verdict.map_err(refusal)).collect())
    }

    fn holders(&mut self, keys: &BTreeSet<Key>) -> Result<BTreeMap<Key, String>, netlink::Error> {
        let foreign = |route: Route| {
            let key = Key { destination: route.destination, metric: route.metric };
            let holds = route.protocol != NODE_ROUTE && route.table == MAIN && keys.contains(&key);
            holds.then_some((key, route))
        };
        let found = self.each_family(|family| Route::dump(family, 0), foreign)?;
        let links = self.socket.dump(netlink::Link::dump(), |message| netlink::Link::from_message(&message))?;
        let name = |index| links.iter().find(|link| link.index == index).map(|link| link.name.clone());
        let shown = |route: &Route| format!("{} proto {}", route.shown(name), protocol::name(route.protocol));
        Ok(found.iter().map(|(key, route)| (*key, shown(route))).collect())
    }
}

/// `RT_TABLE_MAIN`.
pub(crate) const MAIN: u32 = 254;

/// Whether a link belongs to a pod of this node: such links say nothing of peers.
pub fn is_pod_link(name: &str) -> bool {
    name.starts_with(HOST_LINK_PREFIX)
}

/// A link of this node as the planner sees it, with its index.
pub fn link_here(link: &netlink::Link) -> (u32, Link) {
    (
        link.index,
        Link { name: link.name.as_str().into(), up: link.up, carrier: [link.carrier, link.operational], mtu: link.mtu },
    )
}

/// A route that the kernel shows under our number in the main table, as the planner compares it.
pub fn observed(route: &Route) -> Option<(Key, Target)> {
    if route.protocol != NODE_ROUTE || route.table != MAIN {
        return None;
    }
    let plain = route.source.is_none() && route.mtu.is_none() && route.advmss.is_none();
    let target = match (route.kind, route.gateway, route.device) {
        (RouteKind::Unicast, Some(via), Some(link)) if plain => Target::Hop { via, link, onlink: route.onlink },
        // IPv6 shows an unreachable route on the loopback link.
        (RouteKind::Unreachable, None, _) => Target::Unreachable,
        _ => Target::Foreign,
    };
    Some((Key { destination: route.destination, metric: route.metric }, target))
}

/// What is asked of the kernel for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To make a route that must not exist yet.
    Add(Route),
    /// To put a route in the place of the one of the same key.
    Replace(Route),
    /// To remove the route that has all that is given here.
    Remove(Route),
}

/// The message for a change.
pub fn message(change: &Change) -> Message {
    match change {
        Change::Add(key, target) => Message::Add(route(key.destination, key.metric, target)),
        Change::Replace(key, target) => Message::Replace(route(key.destination, key.metric, target)),
        // Type 0 removes whatever kind the route has (fib_table_delete compares it only when it is given).
        Change::Remove(key) => {
            let kind = RouteKind::Other(0);
            Message::Remove(Route { kind, ..route(key.destination, key.metric, &Target::Foreign) })
        }
    }
}

fn request(change: &Change) -> Request {
    match message(change) {
        Message::Add(route) => route.add(),
        Message::Replace(route) => route.replace(),
        Message::Remove(route) => route.remove(),
    }
}

fn route(destination: IpNetwork, metric: u32, target: &Target) -> Route {
    let plain = Route { metric, ..Route::to(destination, NODE_ROUTE) };
    match *target {
        Target::Hop { via, link, onlink } => Route { gateway: Some(via), device: Some(link), onlink, ..plain },
        Target::Unreachable => Route { kind: RouteKind::Unreachable, ..plain },
        Target::Foreign => plain,
    }
}

/// What a refusal of the kernel means.
pub fn refusal(error: KernelError) -> Refusal {
    match error.errno {
        Errno::EEXIST => Refusal::Exists,
        Errno::ESRCH => Refusal::Absent,
        Errno::ENOMEM | Errno::ENOBUFS | Errno::EAGAIN | Errno::EBUSY | Errno::EPERM => {
            Refusal::Unable(error.to_string())
        }
        _ => Refusal::Other(error.to_string()),
    }
}

fn lacks_family(error: &KernelError) -> bool {
    matches!(error.errno, Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP | Errno::ENOENT)
}

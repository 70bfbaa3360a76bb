//! The node's and the pod's network namespace: a route socket in each, and the thread's move from one to the other.

use std::path::Path;

use netlink::{Family, Link, Lookup, Socket, default_route};
use podlink::Netns;

use crate::error::Error;
use crate::plan::{Occupied, Plan};

/// Both namespaces, open. The thread is in the node's until it enters the pod's ([`Pod::enter`]).
pub(crate) struct Namespaces {
    /// A socket in the node's namespace.
    pub(crate) host: Socket,
    /// The node's namespace.
    pub(crate) own: Netns,
    /// The pod's side.
    pub(crate) pod: Pod,
}

/// The pod's namespace and a socket in it.
pub(crate) struct Pod {
    /// A socket in the pod's namespace.
    pub(crate) socket: Socket,
    /// The pod's namespace.
    pub(crate) netns: Netns,
}

impl Namespaces {
    /// Opens both sides. Fails, with nothing changed, on a path that is not a network namespace of a pod.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let host = Socket::open()?;
        let own = Netns::of(&host)?;
        let netns = Netns::of_pod(path, &own)?;
        netns.enter()?;
        let socket = Socket::open();
        own.enter()?;
        let pod = Pod { socket: socket?, netns };
        Ok(Self { host, own, pod })
    }
}

impl Pod {
    /// Whether the pod has an interface of this name.
    pub(crate) fn has_interface(&self, ifname: &str) -> Result<bool, Error> {
        Ok(Link::index(&self.socket, ifname)?.is_some())
    }

    /// Moves the thread into the pod's namespace, for good: settings and link names are the pod's from now on.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        Ok(self.netns.enter()?)
    }

    /// The plan's families whose default route in the pod leaves by another link than `device`: that attachment was
    /// first.
    pub(crate) fn occupied(&mut self, device: u32, plan: &Plan) -> Result<Occupied, Error> {
        let mut routed = |family: Family| -> Result<bool, Error> {
            if !plan.has(family) {
                return Ok(false);
            }
            let route = default_route(&mut self.socket, family, Lookup::Entry)?;
            Ok(route.is_some_and(|route| route.destination.prefix() == 0 && route.device != Some(device)))
        };
        Ok(Occupied { v4: routed(Family::V4)?, v6: routed(Family::V6)? })
    }
}

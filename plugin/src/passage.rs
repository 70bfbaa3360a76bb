//! Two namespaces at once: a route socket in each, and the way of the thread between them.

use std::path::Path;

use netlink::{DefaultRoute, Link, Lookup, Socket};
use podlink::Netns;

use crate::error::Error;
use crate::plan::{Occupied, Plan};

/// The open passage. The thread is in the node's namespace until it enters the pod's ([`Beyond::enter`]).
pub(crate) struct Passage {
    /// A socket in the node's namespace.
    pub(crate) host: Socket,
    /// The node's namespace.
    pub(crate) own: Netns,
    /// The rest: what lies beyond.
    pub(crate) beyond: Beyond,
}

/// The pod's side.
pub(crate) struct Beyond {
    /// A socket in the pod's namespace.
    pub(crate) pod: Socket,
    /// The pod's namespace.
    pub(crate) netns: Netns,
}

impl Passage {
    /// Opens both sides. Fails, with nothing changed, on a path that is not a network namespace of a pod.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let host = Socket::open()?;
        let own = Netns::of(&host)?;
        let netns = Netns::of_pod(path, &own)?;
        netns.enter()?;
        let pod = Socket::open();
        own.enter()?;
        let pod = pod?;
        Ok(Self { host, own, beyond: Beyond { pod, netns } })
    }
}

impl Beyond {
    /// Whether the pod has an interface of this name.
    pub(crate) fn has_interface(&self, ifname: &str) -> bool {
        Link::index(&self.pod, ifname).is_some()
    }

    /// Moves the thread into the pod's namespace, for good: settings and link names are the pod's from now on.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        Ok(self.netns.enter()?)
    }

    /// The plan's families whose default route in the pod leaves by another link than `device`: that attachment was
    /// first.
    pub(crate) fn occupied(&mut self, device: u32, plan: &Plan) -> Result<Occupied, Error> {
        let mut routed = |v6: bool, way_out: DefaultRoute| -> Result<bool, Error> {
            if !plan.has(v6) {
                return Ok(false);
            }
            let route = way_out.ask(&mut self.pod, Lookup::Entry)?;
            Ok(route.is_some_and(|route| route.destination.prefix() == 0 && route.device != Some(device)))
        };
        Ok(Occupied { v4: routed(false, DefaultRoute::V4)?, v6: routed(true, DefaultRoute::V6)? })
    }
}

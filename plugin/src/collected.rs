//! What is done about a lease that an ADD takes back, when its pool has nothing left to give: the dead attachment's link goes,
//! and its host ports with it.

use std::path::Path;

use cni::NetworkName;
use hostport::Ports;
use ipam::{Lease, Liveness, Presence};
use podlink::{HostLinks, Identity};

/// Looks at links, and removes what the dead have left.
pub(crate) struct Collected<'a> {
    /// The node's links.
    pub(crate) links: HostLinks<'a>,
    /// The node's host ports.
    pub(crate) ports: Ports,
    /// Whose leases they are.
    pub(crate) network: &'a NetworkName,
}

impl Liveness for Collected<'_> {
    fn host_link(&self, lease: &Lease) -> Presence {
        self.links.host_link(lease)
    }

    fn sees(&self, directory: &Path) -> bool {
        self.links.sees(directory)
    }

    /// Best effort: host ports that cannot be removed here are left to the agent and to GC.
    fn taken_back(&self, lease: &Lease, leased: &dyn Fn() -> bool) {
        if !leased() {
            let _ = self.ports.release(&Identity::of(self.network, &lease.owner).host_name);
        }
        self.links.taken_back(lease, leased);
    }
}

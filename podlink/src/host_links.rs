//! Whether the link of a lease's attachment is there: what is asked before a lease is taken back.

use std::cell::RefCell;

use cni::NetworkName;
use ipam::{Lease, Liveness, Presence};
use netlink::{Link, Selector, Socket};

use crate::identity::Identity;
use crate::removal::{remove_unleased, routed};

/// Looks for the host ends of one network through a socket of the node's namespace.
pub struct HostLinks<'a> {
    host: RefCell<&'a mut Socket>,
    network: &'a NetworkName,
}

impl<'a> HostLinks<'a> {
    /// Looks through `host`.
    pub fn new(host: &'a mut Socket, network: &'a NetworkName) -> Self {
        Self { host: RefCell::new(host), network }
    }
}

impl Liveness for HostLinks<'_> {
    /// By its name, and where it was renamed, by the route to the address: an address that leads to the
    /// attachment's link is not free.
    fn host_link(&self, lease: &Lease) -> Presence {
        let Some(name) = lease.proof.host_link.as_deref() else { return Presence::Unknown };
        let mut host = self.host.borrow_mut();
        match Presence::of(Link::find(&mut host, Selector::Name(name))) {
            Presence::Gone => {
                Presence::of(routed(&mut host, &Identity::of(self.network, &lease.owner), lease.address.ip()))
            }
            known => known,
        }
    }

    /// Best effort: a link that cannot be removed here is left to DEL and GC.
    fn taken_back(&self, lease: &Lease, leased: &dyn Fn() -> bool) {
        let identity = Identity::of(self.network, &lease.owner);
        let _ = remove_unleased(&mut self.host.borrow_mut(), &identity, leased);
    }
}

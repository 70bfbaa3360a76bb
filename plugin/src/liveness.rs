//! Whether a lease's host end is there: what IPAM asks before it takes a lease back.

use std::cell::RefCell;

use ipam::{Presence, Prover};
use netlink::{Link, Selector, Socket};

/// Looks for host ends through a socket of the node's namespace.
pub(crate) struct HostLinks<'a> {
    host: RefCell<&'a mut Socket>,
}

impl<'a> HostLinks<'a> {
    /// Looks through `host`.
    pub(crate) fn new(host: &'a mut Socket) -> Self {
        Self { host: RefCell::new(host) }
    }
}

impl Prover for HostLinks<'_> {
    fn host_link(&self, name: &str) -> Presence {
        Presence::of(Link::find(&mut self.host.borrow_mut(), Selector::Name(name)))
    }
}

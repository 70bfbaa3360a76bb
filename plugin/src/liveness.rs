//! Whether a lease's host end is there: what IPAM asks before it takes a lease back.

use std::cell::RefCell;

use ipam::{Presence, Prover};
use netlink::{Link, Selector, Socket};
use nix::errno::Errno;

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
        match self.host.borrow_mut().get(Link::get(Selector::Name(name))) {
            Ok(Ok(_)) => Presence::Present,
            Ok(Err(refused)) if refused.errno == Errno::ENODEV => Presence::Gone,
            _ => Presence::Unknown,
        }
    }
}

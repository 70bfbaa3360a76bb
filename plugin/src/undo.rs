//! What an ADD has made so far, and its undoing: in reverse, the link before the host ports and the addresses, unless it
//! is kept. By value: the
//! link by its index, the leases as they were given. What another process has given or made since stays.

use std::path::Path;

use hostport::Ports;
use ipam::Settings;
use netlink::{Link, Socket};
use podlink::{Identity, Netns, removal};

use crate::addressing::Addressing;
use crate::assignment::Assignment;

/// A step that was done.
enum Step<'a> {
    Assigned {
        addressing: &'a Addressing<'a, Settings>,
        assignment: Assignment,
    },
    Mapped {
        ports: Ports,
        key: &'a str,
    },
    /// `device` is the link's index, once it is known.
    Linking {
        identity: &'a Identity,
        device: Option<u32>,
    },
}

/// The steps done so far. Dropped, it undoes them; what cannot be undone is left to DEL, GC and scavenge.
pub(crate) struct Undo<'a> {
    /// The node's namespace, wherever the thread is when things go wrong.
    own: Netns,
    /// Where the pod's is.
    pod: &'a Path,
    steps: Vec<Step<'a>>,
}

impl<'a> Undo<'a> {
    /// Nothing done yet.
    pub(crate) fn new(own: Netns, pod: &'a Path) -> Self {
        Self { own, pod, steps: Vec::new() }
    }

    /// Addresses were taken.
    pub(crate) fn assigned(&mut self, addressing: &'a Addressing<'a, Settings>, assignment: &Assignment) {
        self.steps.push(Step::Assigned { addressing, assignment: assignment.clone() });
    }

    /// The pod's host ports are about to be claimed.
    pub(crate) fn mapping(&mut self, ports: Ports, identity: &'a Identity) {
        self.steps.push(Step::Mapped { ports, key: &identity.host_name });
    }

    /// The link pair is about to be made. The kernel may have made it, and its answer be lost.
    pub(crate) fn linking(&mut self, identity: &'a Identity) {
        self.steps.push(Step::Linking { identity, device: None });
    }

    /// The link pair was made.
    pub(crate) fn linked(&mut self, host: &Socket) {
        if let Some(Step::Linking { identity, device }) = self.steps.last_mut() {
            *device = Link::index(host, &identity.host_name).unwrap_or_default();
        }
    }

    /// Everything stays.
    pub(crate) fn keep(mut self) {
        self.steps.clear();
    }

    /// Whether the step is undone. A link that stays keeps its addresses: they must not go to another pod.
    fn undo(&mut self, step: &Step<'_>) -> bool {
        if self.own.enter().is_err() {
            return false;
        }
        match step {
            // By a socket of its own: on another one an answer may be lost.
            Step::Linking { identity, device } => Socket::open().is_ok_and(|mut host| {
                let removed = match device {
                    Some(device) => removal::remove_index(&mut host, *device, &identity.host_name),
                    // No other ADD of the attachment is under way: it is ours, or left by one that has ended.
                    None => removal::remove_made(&mut host, identity),
                };
                removed.is_ok()
            }),
            // No other ADD of the attachment is under way: it is ours, or left by one that has ended.
            Step::Mapped { ports, key } => ports.release(key).is_ok(),
            // The rules before the lease, by which a DEL knows what is left to do.
            Step::Assigned { addressing, assignment } => {
                let forgotten = |host| removal::forget_rules(&host, self.pod, &assignment.addresses).is_ok();
                Socket::open().is_ok_and(forgotten) && addressing.give_back(assignment).is_ok()
            }
        }
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some(step) = self.steps.pop() {
            if !self.undo(&step) {
                return;
            }
        }
    }
}

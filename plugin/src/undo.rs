//! What an ADD has made so far, and its undoing: in reverse, the link before the addresses, unless it is kept.

use std::net::IpAddr;
use std::path::Path;

use cni::Attachment;
use netlink::Socket;
use podlink::{Identity, Netns, removal};

use crate::addressing::Addressing;

/// A step that was done.
enum Step<'a> {
    Assigned { addressing: &'a Addressing<'a>, attachment: &'a Attachment, addresses: Vec<IpAddr> },
    Linking { identity: &'a Identity },
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
    pub(crate) fn assigned(
        &mut self,
        addressing: &'a Addressing<'a>,
        attachment: &'a Attachment,
        addresses: Vec<IpAddr>,
    ) {
        self.steps.push(Step::Assigned { addressing, attachment, addresses });
    }

    /// The link pair is about to be made. The kernel may have made it, and its answer be lost.
    pub(crate) fn linking(&mut self, identity: &'a Identity) {
        self.steps.push(Step::Linking { identity });
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
            Step::Linking { identity } => {
                Socket::open().is_ok_and(|mut host| removal::remove_made(&mut host, identity).is_ok())
            }
            // The rules before the lease: it tells a DEL what is left to do.
            Step::Assigned { addressing, attachment, addresses } => {
                let forgotten = |host| removal::forget_rules(&host, self.pod, addresses).is_ok();
                Socket::open().is_ok_and(forgotten) && addressing.release(attachment).is_ok()
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

//! What an ADD has made so far, and its undoing: in reverse, the link before the addresses, unless it is kept.

use cni::Attachment;
use netlink::{Link, Selector, Socket};
use nix::errno::Errno;

use crate::addressing::Addressing;
use crate::netns::Netns;

/// A step that was done.
enum Step<'a> {
    Assigned { addressing: &'a Addressing<'a>, attachment: &'a Attachment },
    Linked { name: String },
}

/// The steps done so far. Dropped, it undoes them; what cannot be undone is left to DEL, GC and scavenge.
pub(crate) struct Undo<'a> {
    /// A socket in the node's namespace: it stays there, wherever the thread is when things go wrong.
    pub(crate) host: Socket,
    own: Netns,
    steps: Vec<Step<'a>>,
}

impl<'a> Undo<'a> {
    /// Nothing done yet. `own` is the namespace in which a delegate is to run.
    pub(crate) fn new(host: Socket, own: Netns) -> Self {
        Self { host, own, steps: Vec::new() }
    }

    /// Addresses were taken.
    pub(crate) fn assigned(&mut self, addressing: &'a Addressing<'a>, attachment: &'a Attachment) {
        self.steps.push(Step::Assigned { addressing, attachment });
    }

    /// The link pair was made.
    pub(crate) fn linked(&mut self, name: &str) {
        self.steps.push(Step::Linked { name: name.to_owned() });
    }

    /// Everything stays.
    pub(crate) fn keep(mut self) {
        self.steps.clear();
    }

    /// Whether the step is undone. A link that stays keeps its addresses: they must not go to another pod.
    fn undo(&mut self, step: &Step<'_>) -> bool {
        match step {
            Step::Linked { name } => {
                let removed = self.host.request(&mut [Link::remove(Selector::Name(name))]);
                match removed.as_deref() {
                    Ok([Ok(())]) => true,
                    Ok([Err(refused)]) => refused.errno == Errno::ENODEV,
                    _ => false,
                }
            }
            Step::Assigned { addressing, attachment } => {
                self.own.enter().is_ok() && addressing.release(attachment).is_ok()
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

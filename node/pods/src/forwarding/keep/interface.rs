//! What goes into the machine that keeps forwarding on, and what comes out of it.

use std::collections::BTreeSet;

use netlink::Family;

use super::super::{Change, Observed};
use super::Forwarding;

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The result of [`Action::Open`].
    Opened(Result<(), String>),
    /// Events of the kernel.
    KernelEvents(Vec<KernelEvent>),
    /// The kernel's events cannot be read any more.
    Lost(String),
    /// Whether the link, or the node, forwards that [`Action::Ask`] named; `None` where it is not known.
    Forwards(Result<Option<bool>, String>),
    /// One family as it is, and the links that carry packets of its pods: the result of the request with this number.
    Observed(u64, Result<(Observed, BTreeSet<u32>), String>),
    /// The result of the change with this number.
    Changed(u64, Result<(), String>),
    /// [`super::machine::Machine::due`] has come.
    Tick,
}

/// An event of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelEvent {
    /// Events were lost.
    Overflow,
    /// Forwarding was switched, of one link or of the node.
    Switched { family: Family, link: Option<u32>, on: bool },
    /// A route leads over this link that may carry packets of pods.
    Carrier { family: Family, link: u32 },
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Open the sockets for events and requests.
    Open,
    /// Close them.
    Close,
    /// Ask whether a new link forwards IPv4, or the node IPv6.
    Ask {
        family: Family,
        link: u32,
    },
    /// Observe one family.
    Observe {
        number: u64,
        family: Family,
    },
    /// Switch forwarding on.
    Switch {
        number: u64,
        change: Change,
    },
    Publish(Forwarding),
    Log(Notice),
}

/// What to log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Why forwarding cannot be checked.
    NotChecked(String),
    Warning(String),
    /// It stays off, which the agent's condition `forwarding-off` says.
    StaysOff(String),
}

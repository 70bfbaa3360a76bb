//! What goes into the machine that keeps the rules, and what comes out of it.

use hostport::Restored;

use super::{Filtered, Forwarded, Wanted};
use crate::forward::ForwardDrop;
use crate::{Drops, Egress};

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// What should be has changed.
    Wanted(Wanted),
    /// Another program may have changed our tables, or foreign ones.
    TablesChanged { ours: bool, ports: bool, others: bool },
    /// The event socket failed.
    Deaf(String),
    /// The result of the request with this number.
    Answered(u64, Answer),
    /// [`Machine::due`] has come.
    Tick,
}

/// What the kernel is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Open the event socket.
    Listen,
    /// Put the masquerade table in place, or remove it.
    Masquerade(Egress),
    /// Put the source rule and the ARP guard in place.
    Source,
    /// Put the host ports of the records in place.
    Ports,
    /// Read the foreign rules, and answer their policies where that is asked for.
    Look { accepts: bool, forwarded: Forwarded },
    /// Read the counters of the source rule.
    Count,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Listening(Result<(), String>),
    /// Whether there was something to change, and why a rule is not in place.
    Put {
        changed: bool,
        failed: Option<String>,
    },
    /// The host ports, and why they are not in place.
    Ported {
        restored: Restored,
        failed: Option<String>,
    },
    Looked(Result<Vec<ForwardDrop>, String>),
    Counted(Option<Drops>),
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ask(u64, Request),
    Publish(Filtered),
    Log(Notice),
}

/// What to log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Deaf(String),
    Missing { rule: &'static str, error: String },
    Restored,
    Collected(String),
    Unread(String),
    Dropped(ForwardDrop),
    NotRead(String),
}

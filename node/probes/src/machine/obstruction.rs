//! Rules of other programs that drop what the probe link forwards, and not packets of pods: Calico drops what comes from or
//! goes to a link of the pods' prefix that it does not know. Then nothing can be said of paths, by either side.
//!
//! The rules are looked at when probes are lost, by this node or on the way to it, and before anything is concluded; while a
//! rule drops probes, at intervals.

use std::time::{Duration, Instant};

use netlink::Family;

use super::{Action, Machine, Now};

/// How long after a look the next one may follow, and does follow while a rule drops probes.
const REST: Duration = Duration::from_secs(5);

/// Of the time, at most one part in this many is spent on looks.
const SHARE: u32 = 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Obstruction {
    found: [Option<String>; 2],
    /// No look begins earlier.
    rested: Option<Instant>,
}

impl Obstruction {
    /// The rule of a family, in a sentence.
    pub(super) fn of(&self, family: Family) -> Option<&str> {
        self.found[family.index()].as_deref()
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.found.iter().any(Option::is_some).then_some(self.rested).flatten()
    }
}

impl Machine {
    /// Has the rules looked at, where that was not just done.
    pub(super) fn examine(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.obstruction.rested.is_none_or(|rested| now.at >= rested) {
            self.obstruction.rested = Some(now.at + REST);
            actions.push(Action::Examine);
        }
    }

    pub(super) fn examined(&mut self, found: [Option<String>; 2], took: Duration, now: Now) {
        self.obstruction.rested = Some(now.at + REST.max(took * SHARE));
        if self.obstruction.found != found {
            self.obstruction.found = found;
            self.is_changed = true;
            self.rule_out(now);
            self.schedule.restart_at_once(now.at);
        }
    }
}

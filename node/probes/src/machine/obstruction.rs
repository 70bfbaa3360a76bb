//! Rules of other programs that drop what the probe link forwards, and not packets of pods: Calico drops what comes from or
//! goes to a link of the pods' prefix that it does not know. Then nothing can be said of paths, by either side.
//!
//! The rules are looked at when probes are lost, by this node or on the way to it, and before anything is concluded; while a
//! rule drops probes, at intervals. A look that comes too early after another one is made as soon as it may be.

use std::time::{Duration, Instant};

use netlink::Family;

use super::{Action, Machine, Now};

/// How long after a look the next one may follow: less than a peer's two passes, which must hear of a rule before it concludes
/// that packets are lost.
const REST: Duration = Duration::from_secs(1);

/// How long after a look the next one follows while a rule drops probes.
const AGAIN: Duration = Duration::from_secs(5);

/// Of the time, at most one part in this many is spent on looks.
const SHARE: u32 = 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Obstruction {
    found: [Option<String>; 2],
    /// When the last look began.
    looked: Option<Instant>,
    /// No look begins earlier.
    rested: Option<Instant>,
    /// When the next one is due.
    due: Option<Instant>,
}

impl Obstruction {
    /// The rule of a family, in a sentence.
    pub(super) fn of(&self, family: Family) -> Option<&str> {
        self.found[family.index()].as_deref()
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the rules were looked at since then.
    pub(super) fn was_looked_for_since(&self, then: Instant) -> bool {
        self.looked.is_some_and(|looked| looked >= then)
    }
}

impl Machine {
    /// Has the rules looked at: now, or as soon as the last look is long enough ago.
    pub(super) fn examine(&mut self, now: Now, actions: &mut Vec<Action>) {
        match self.obstruction.rested {
            Some(rested) if now.at < rested => {
                let due = self.obstruction.due.map_or(rested, |due| due.min(rested));
                self.obstruction.due = Some(due);
            }
            _ => {
                (self.obstruction.looked, self.obstruction.due) = (Some(now.at), None);
                self.obstruction.rested = Some(now.at + REST);
                actions.push(Action::Examine);
            }
        }
    }

    pub(super) fn examined(&mut self, found: [Option<String>; 2], took: Duration, now: Now) {
        let rest = took * SHARE;
        self.obstruction.rested = Some(now.at + REST.max(rest));
        self.obstruction.due = found.iter().any(Option::is_some).then_some(now.at + AGAIN.max(rest));
        if self.obstruction.found != found {
            self.obstruction.found = found;
            self.is_changed = true;
            self.rule_out(now);
            self.schedule.restart_at_once(now.at);
        }
    }
}

//! When to look for what is wrong, and what of it to report: a state machine, (state, event, now) to (state, whether to
//! look). It reads no clock and starts no thread.
//!
//! - A look follows the first of a burst of events by [`SETTLE`], and the last look by [`PERIOD`] whatever events say.
//! - Looks take at most 1/[`SHARE`] of a processor, and without events 1/[`IDLE_SHARE`]: the time between two grows with what
//!   a look costs.
//! - The first look is at once; what an agent that starts puts right by itself is reported [`START`] later at the earliest.
//! - What is new is reported once a second look, [`CONFIRM`] later, finds it too: a pod that is being made, or a route that
//!   the agent restores, is no condition. One more of a kind of which [`MOST`] are reported waits for the next look that is due
//!   anyway. What is gone is cleared at once.
//! - A check that cannot run keeps what it found before, and is reported as unknown: it has not cleared anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use agent_core::Found;
use conditions::{Condition, Kind, OTHERS};
use inspect::doctor::finding::{Finding, Outcome};
use state::UnknownCheck;

/// How long an agent that starts is given for what it puts right by itself.
const START: Duration = Duration::from_secs(3);

/// How long after an event to look: events come in bursts, and the agent corrects what is its own to correct.
const SETTLE: Duration = Duration::from_millis(100);

/// How soon what is new is looked at again.
const CONFIRM: Duration = Duration::from_millis(500);

/// How often to look whatever events say: a condition without an event is reported within five seconds.
const PERIOD: Duration = Duration::from_secs(4);

/// Of the time, at most one part in this many is spent on looks, while events ask for them.
const SHARE: u32 = 20;

/// The same while no event does; but a minute is the longest period.
const IDLE_SHARE: u32 = 250;
const LONGEST: Duration = Duration::from_secs(60);

/// How many conditions of one kind are reported: a file that each ADD reads must stay small.
const MOST: usize = 20;

/// What happens.
pub(super) enum Event {
    /// Something changed.
    Woken,
    /// A look has ended.
    Looked(Looked),
    /// [`Machine::due`] has come.
    Tick,
}

/// The result of a look.
pub(super) struct Looked {
    pub(super) outcomes: Vec<(&'static str, Outcome)>,
    /// The processor time that it took.
    pub(super) cost: Duration,
}

/// The state.
pub(super) struct Machine {
    found: Found,
    /// By check: what it found last, and whether a look before found it too.
    seen: BTreeMap<&'static str, Vec<(Condition, bool)>>,
    /// Until then it puts right what a start has to.
    settled: Instant,
    due: Instant,
    /// No look begins earlier.
    rested: Instant,
}

impl Machine {
    /// The first look is due after [`SETTLE`]. `before` is what was found before the part was started again.
    pub(super) fn new(before: Found, now: Instant) -> Self {
        Self { found: before, seen: BTreeMap::new(), settled: now + START, due: now + SETTLE, rested: now }
    }

    /// When it wants [`Event::Tick`].
    pub(super) fn due(&self) -> Instant {
        self.due.max(self.rested)
    }

    /// Takes in an event; returns whether to look now.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> bool {
        match event {
            Event::Woken => self.due = self.due.min(now + SETTLE),
            Event::Looked(looked) => self.looked(looked, now),
            Event::Tick => return self.due() <= now,
        }
        false
    }

    /// What to report.
    pub(super) fn found(&self) -> Found {
        self.found.clone()
    }

    fn looked(&mut self, looked: Looked, now: Instant) {
        let Looked { outcomes, cost } = looked;
        self.found.unknown.clear();
        for (check, outcome) in outcomes {
            match outcome {
                Ok(finding) => self.take(check, finding, now),
                Err(why) => self.found.unknown.push(UnknownCheck { check: check.to_owned(), why }),
            }
        }
        let all = || self.seen.values().flatten();
        let mut reported: BTreeMap<Kind, usize> = BTreeMap::new();
        all().filter(|(_, confirmed)| *confirmed).for_each(|(known, _)| *reported.entry(known.kind).or_default() += 1);
        // One more of a kind that is reported by its number waits: of many silent neighbours others are found at each look.
        let is_listed = |kind| reported.get(kind).is_none_or(|count| *count < MOST);
        let is_new = all().any(|(condition, confirmed)| !confirmed && is_listed(&condition.kind));
        // A part that is started again goes on with what it had reported.
        let confirmed = all().filter(|(_, confirmed)| *confirmed).map(|(condition, _)| condition.clone());
        self.found.conditions = bounded(confirmed);
        let period = (cost * IDLE_SHARE).clamp(PERIOD, LONGEST);
        self.due = now + if is_new { CONFIRM } else { period };
        self.rested = now + cost * SHARE;
    }

    fn take(&mut self, check: &'static str, finding: Finding, now: Instant) {
        let found = match finding {
            Finding::Wrong(conditions) => conditions,
            Finding::Partly { unknown, .. } => {
                self.found.unknown.push(UnknownCheck { check: check.to_owned(), why: unknown });
                Vec::new()
            }
            Finding::Fine(_) | Finding::Moot(_) => Vec::new(),
        };
        let before = self.seen.remove(check).unwrap_or_default();
        let is_settled = |condition: &Condition| now >= self.settled || !is_of_a_start(condition);
        let was = |condition: &Condition| {
            before.iter().any(|(earlier, _)| earlier.is_same(condition)) && is_settled(condition)
                || self.found.conditions.iter().any(|reported| reported.is_same(condition))
        };
        let found = found.into_iter().map(|condition| (was(&condition), condition));
        self.seen.insert(check, found.map(|(was, condition)| (condition, was)).collect());
    }
}

/// Whether an agent that starts finds it and puts it right.
fn is_of_a_start(condition: &Condition) -> bool {
    use Kind::{
        ArpGuardMissing, ConflistMissing, PluginMissing, PluginNotExecutable, PluginVersion, SourceRuleMissing,
    };
    let files = [ConflistMissing, PluginMissing, PluginNotExecutable, PluginVersion];
    let rules = [SourceRuleMissing, ArpGuardMissing];
    condition.fix.is_some() || files.contains(&condition.kind) || rules.contains(&condition.kind)
}

/// The first of each kind, and how many more there are.
fn bounded(all: impl Iterator<Item = Condition>) -> Vec<Condition> {
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut kept: Vec<Condition> = all
        .filter(|condition| {
            let count = counts.entry(condition.kind).or_default();
            *count += 1;
            *count <= MOST
        })
        .collect();
    let more = counts.into_iter().filter(|(_, count)| *count > MOST);
    kept.extend(more.map(|(kind, count)| {
        let wrong = format!("{} more conditions of this kind: podlan-node doctor lists them", count - MOST);
        Condition::new(kind, OTHERS, wrong)
    }));
    // The worst first.
    kept.sort_by(|one, other| {
        let key = |condition: &Condition| (std::cmp::Reverse(condition.severity), condition.kind);
        (key(one), &one.subject).cmp(&(key(other), &other.subject))
    });
    kept
}

#[cfg(test)]
mod tests;

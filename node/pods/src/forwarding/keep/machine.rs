//! When forwarding is observed and when it is switched on: a state machine, (state, event, now) to (state, actions). It reads
//! no clock and asks no kernel: [`super::keep`] carries out the actions and returns their results as events.
//!
//! A look observes one family after the other, and again after a change. One request is under way at a time; a result with
//! another number is ignored.

use std::time::{Duration, Instant};

use netlink::Family;

use super::super::Off;
use super::Forwarding;
use super::family::{OneFamily, RETRY, Verdict, refused};
use super::interface::{Action, Event, KernelEvent, Notice};

/// How soon the kernel is asked again after it could not be.
pub(super) const REOPEN: Duration = Duration::from_millis(500);

/// How often a family is observed in one look: after a change the kernel says whether it had an effect.
const OBSERVATIONS: u8 = 2;

/// The state.
#[derive(Debug)]
pub(super) struct Machine {
    every: Duration,
    keeps: bool,
    phase: Phase,
    families: [OneFamily; 2],
    requests: u64,
    /// An event asked for a look.
    must_look: bool,
    /// When to look again without an event.
    due: Option<Instant>,
    slow: Instant,
    published: Forwarding,
    /// What was logged last of why nothing can be checked.
    logged: String,
}

#[derive(Debug)]
enum Phase {
    Closed { until: Instant },
    Opening,
    Waiting,
    Looking(Look),
}

/// A look that is under way.
#[derive(Debug)]
struct Look {
    /// The request whose result it waits for.
    number: u64,
    family: usize,
    /// How often the family may still be observed.
    left: u8,
    /// What is being switched on.
    off: Option<Off>,
}

impl Machine {
    /// The sockets are opened at once. `known` is what was published before.
    pub(super) fn new(every: Duration, keeps: bool, known: Forwarding, now: Instant) -> Self {
        Self {
            every,
            keeps,
            phase: Phase::Closed { until: now },
            families: families(),
            requests: 0,
            must_look: false,
            due: None,
            slow: now,
            published: known,
            logged: String::new(),
        }
    }

    /// When it wants [`Event::Tick`]; `None` while it waits for a result alone.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Closed { until } => Some(*until),
            Phase::Opening | Phase::Looking(_) => None,
            Phase::Waiting => Some(self.due.map_or(self.slow, |due| due.min(self.slow))),
        }
    }

    /// Takes in an event.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match (event, &mut self.phase) {
            (Event::Tick, Phase::Closed { until }) if *until <= now => {
                self.phase = Phase::Opening;
                actions.push(Action::Open);
            }
            (Event::Opened(opened), Phase::Opening) => match opened {
                Ok(()) => (self.phase, self.families, self.slow) = (Phase::Waiting, families(), now),
                Err(why) => self.lost(why, now, &mut actions),
            },
            (Event::Observed(number, observed), Phase::Looking(look))
                if look.number == number && look.off.is_none() =>
            {
                match observed {
                    Ok((seen, carriers)) => {
                        let verdict = self.families[look.family].observed(seen, carriers, self.keeps, now);
                        self.obey(verdict, &mut actions);
                    }
                    Err(why) => self.lost(why, now, &mut actions),
                }
            }
            (Event::Changed(number, changed), Phase::Looking(look)) if look.number == number => {
                if let Some(off) = look.off.take() {
                    self.changed(&off, changed, now, &mut actions);
                }
            }
            (Event::Lost(why), Phase::Waiting | Phase::Looking(_)) => self.lost(why, now, &mut actions),
            (Event::KernelEvents(events), Phase::Waiting | Phase::Looking(_)) => {
                self.take_events(&events, &mut actions)
            }
            (Event::Forwards(forwards), Phase::Waiting | Phase::Looking(_)) => match forwards {
                Ok(on) => self.must_look |= on == Some(false),
                Err(why) => self.lost(why, now, &mut actions),
            },
            _ => {}
        }
        self.begin(now, &mut actions);
        actions
    }

    fn lost(&mut self, why: String, now: Instant, actions: &mut Vec<Action>) {
        self.phase = Phase::Closed { until: now + REOPEN };
        (self.must_look, self.due) = (false, None);
        actions.push(Action::Close);
        let warning = format!("cannot check whether pods' packets are forwarded: failed to {why}");
        self.published.warnings = vec![warning];
        actions.push(Action::Publish(self.published.clone()));
        if self.logged != why {
            actions.push(Action::Log(Notice::NotChecked(why.clone())));
        }
        self.logged = why;
    }

    /// Whether events may mean that pods' packets are not forwarded, or are again.
    fn take_events(&mut self, events: &[KernelEvent], actions: &mut Vec<Action>) {
        let is_looking = matches!(self.phase, Phase::Looking(_));
        for event in events {
            match *event {
                KernelEvent::Overflow => self.must_look = true,
                KernelEvent::Switched { family, link, on } => {
                    let known = &self.families[family.index()];
                    let counts = link.is_none_or(|link| family == Family::V4 && known.carriers.contains(&link));
                    self.must_look |= counts && (is_looking || on == known.is_off);
                }
                // A link that is new here: pods come by the thousand, and mostly all is well.
                KernelEvent::Carrier { family, link } => {
                    if self.families[family.index()].carriers.insert(link) {
                        actions.push(Action::Ask { family, link });
                    }
                }
            }
        }
    }

    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let is_due = self.must_look || self.due.is_some_and(|due| due <= now) || self.slow <= now;
        if is_due && matches!(self.phase, Phase::Waiting) {
            (self.must_look, self.due) = (false, None);
            if self.slow <= now {
                self.slow = now + self.every;
            }
            self.observe(0, OBSERVATIONS, actions);
        }
    }

    fn observe(&mut self, family: usize, left: u8, actions: &mut Vec<Action>) {
        self.requests += 1;
        let number = self.requests;
        self.phase = Phase::Looking(Look { number, family, left: left - 1, off: None });
        actions.push(Action::Observe { number, family: self.families[family].family });
    }

    fn obey(&mut self, verdict: Verdict, actions: &mut Vec<Action>) {
        match verdict {
            Verdict::Leave { warning, due } => self.leave(warning, due, actions),
            Verdict::Switch(off, change) => {
                let Phase::Looking(look) = &mut self.phase else { return };
                self.requests += 1;
                (look.number, look.off) = (self.requests, Some(off));
                actions.push(Action::Switch { number: look.number, change });
            }
        }
    }

    fn changed(&mut self, off: &Off, changed: Result<(), String>, now: Instant, actions: &mut Vec<Action>) {
        let Phase::Looking(Look { family, left, .. }) = self.phase else { return };
        match changed {
            Ok(()) => {
                actions.push(Action::Log(Notice::Warning(self.families[family].switched(off, now))));
                self.published.heals += 1;
                if left > 0 { self.observe(family, left, actions) } else { self.next(family, actions) }
            }
            Err(error) => self.leave(Some(refused(off, &error)), Some(now + RETRY), actions),
        }
    }

    /// Leaves the family as it is, and goes on to the next one.
    fn leave(&mut self, warning: Option<String>, due: Option<Instant>, actions: &mut Vec<Action>) {
        let Phase::Looking(Look { family, .. }) = self.phase else { return };
        self.due = [self.due, due].into_iter().flatten().min();
        let known = &mut self.families[family];
        if let Some(new) = warning.clone().filter(|_| known.warning != warning) {
            actions.push(Action::Log(if known.is_off { Notice::StaysOff(new) } else { Notice::Warning(new) }));
        }
        known.warning = warning;
        self.next(family, actions);
    }

    fn next(&mut self, family: usize, actions: &mut Vec<Action>) {
        if family + 1 < self.families.len() {
            return self.observe(family + 1, OBSERVATIONS, actions);
        }
        self.phase = Phase::Waiting;
        self.published.off = self.families.each_ref().map(|family| family.is_off);
        self.published.warnings = self.families.iter().filter_map(|family| family.warning.clone()).collect();
        actions.push(Action::Publish(self.published.clone()));
    }
}

fn families() -> [OneFamily; 2] {
    Family::BOTH.map(OneFamily::new)
}

#[cfg(test)]
mod tests;

//! When the agent must do something that no event asks for.

use std::time::{Duration, Instant};

use routes::guard::{Guard, Held};
use routes::pace::Pace;

/// How soon a turn is tried again that the netlink socket failed, or that found another state than it knew.
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Due {
    retry: Option<Instant>,
    /// Of turns that events ask for.
    pub(super) pace: Pace,
    /// When a snapshot was last asked for that decides on a held withdrawal.
    refreshed: Instant,
    every: Duration,
    resync: Instant,
}

impl Due {
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self { retry: None, pace: Pace::new(now), refreshed: now, every, resync: now + every }
    }

    /// The first of all times; `others` are those that are not kept here.
    pub(super) fn first(&self, guard: Guard, others: impl IntoIterator<Item = Instant>) -> Instant {
        let mine = [self.retry, self.hold_over(guard)];
        others.into_iter().chain(mine.into_iter().flatten()).fold(self.resync, Instant::min)
    }

    pub(super) fn retry_after(&mut self, now: Instant) {
        self.retry = Some(now + RETRY);
    }

    /// Whether a turn must be tried again now.
    pub(super) fn take_retry(&mut self, now: Instant) -> bool {
        self.retry.take_if(|retry| *retry <= now).is_some()
    }

    /// Whether a held withdrawal is old enough for a snapshot of now to decide on it. True once for each withdrawal.
    pub(super) fn take_hold_over(&mut self, guard: Guard, now: Instant) -> bool {
        let is_over = self.hold_over(guard).is_some_and(|until| until <= now);
        if is_over {
            self.refreshed = now;
        }
        is_over
    }

    /// Whether everything must be looked at now.
    pub(super) fn take_resync(&mut self, now: Instant) -> bool {
        let is_due = self.resync <= now;
        if is_due {
            self.resync = now + self.every;
        }
        is_due
    }

    fn hold_over(&self, guard: Guard) -> Option<Instant> {
        match guard {
            Guard::Holding(Held { until, .. }) if self.refreshed < until => Some(until),
            Guard::Holding(_) | Guard::Open | Guard::Released => None,
        }
    }
}

//! When a setting that another program keeps changing is restored: at once, then with growing delays. Pure.

use std::time::{Duration, Instant};

/// The delays between restorations; the first is none.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After this time without a change the count starts again.
const CALM: Duration = Duration::from_secs(300);

/// From this count on the operator is warned.
const MANY: u32 = 3;

/// How often a setting has been restored lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peace {
    last: Option<Instant>,
    times: u32,
}

impl Peace {
    /// When it may be restored.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let Some(last) = self.last.filter(|last| now.saturating_duration_since(*last) < CALM) else { return now };
        let wait = match self.times {
            0 | 1 => Duration::ZERO,
            times => FIRST_WAIT.saturating_mul(1 << (times - 2).min(10)).min(LONGEST_WAIT),
        };
        now.max(last + wait)
    }

    pub(super) fn put_back(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) >= CALM) {
            self.times = 0;
        }
        (self.last, self.times) = (Some(now), self.times.saturating_add(1));
    }

    /// How often it was restored, from the count of a warning on.
    pub(super) fn many(&self, now: Instant) -> Option<u32> {
        let lately = self.last.is_some_and(|last| now.saturating_duration_since(last) < CALM);
        (lately && self.times >= MANY).then_some(self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_are_put_back_at_once_and_later_ones_ever_later_until_there_was_calm() {
        let (mut peace, start) = (Peace::default(), Instant::now());
        let (mut now, mut waits) = (start, Vec::new());
        for _ in 0..10 {
            let due = peace.due(now);
            waits.push((due - now).as_secs());
            now = due;
            peace.put_back(now);
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(peace.many(now), Some(10));
        now += CALM;
        assert_eq!((peace.due(now), peace.many(now)), (now, None));
        peace.put_back(now);
        assert_eq!((peace.due(now), peace.many(now)), (now, None), "it counts from the start again");
    }
}

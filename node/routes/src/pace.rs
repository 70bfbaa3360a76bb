//! When what the kernel said is asked again: at the first event at once, then at most once in a while, whatever storm of
//! events there is. Knows no clock.

use std::time::{Duration, Instant};

/// The least time from one look to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// The same as a multiple of what the look took: a tenth of a processor, as a rule.
const FACTOR: u32 = 9;

/// The most: a route that is lost with its event waits for no more.
const LONGEST: Duration = Duration::from_millis(500);

/// When a look is due, and from when on.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    due: bool,
    not_before: Instant,
}

impl Pace {
    /// Nothing is asked for yet.
    pub fn new(now: Instant) -> Self {
        Self { due: false, not_before: now }
    }

    /// An event asks for a look.
    pub fn ask(&mut self) {
        self.due = true;
    }

    /// When one is due, if one was asked for.
    pub fn due(&self) -> Option<Instant> {
        self.due.then_some(self.not_before)
    }

    /// Whether a turn was asked for and its time has come.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due && self.not_before <= now
    }

    /// One that was done by `now` and took that long.
    pub fn done(&mut self, now: Instant, took: Duration) {
        let pause = PAUSE.max(took.saturating_mul(FACTOR)).min(LONGEST);
        *self = Self { due: false, not_before: now + pause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_answered_at_once_and_a_storm_once_in_a_hundred_milliseconds() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.due(), None, "nobody asked");
        let (mut now, mut looks) = (start, 0);
        for _ in 0..1000 {
            pace.ask();
            if pace.is_due(now) {
                looks += 1;
                pace.done(now, Duration::from_millis(1));
            }
            now += Duration::from_millis(1);
        }
        assert_eq!(looks, 10);
        assert_eq!(pace.due().map(|due| due > now - Duration::from_millis(1)), Some(true), "and one after the last");
    }

    #[test]
    fn a_look_that_takes_long_is_taken_more_seldom() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.done(start, Duration::from_millis(50));
        pace.ask();
        assert_eq!(pace.due(), Some(start + Duration::from_millis(450)));
        pace.done(start, Duration::MAX);
        pace.ask();
        assert_eq!(pace.due(), Some(start + LONGEST));
    }
}

//! How long to wait after a failure before the API server is asked again. Pure: time and seed are arguments.

use std::time::{Duration, Instant};

/// The first wait, and the longest one before jitter is added.
pub(super) const FIRST: Duration = Duration::from_millis(800);
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// Where the last failure was longer ago, the waits begin with the first one again: a server that breaks off every watch
/// after its list is not asked for one list after the other.
pub(super) const WELL: Duration = Duration::from_secs(120);

/// Waits that double, each with up to as much again at random, so that the agents of a cluster do not all ask at once.
#[derive(Debug)]
pub(super) struct Backoff {
    random: u64,
    failures: u32,
    last: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed, failures: 0, last: None }
    }

    /// The wait after a failure at `now`.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > WELL) {
            self.failures = 0;
        }
        self.last = Some(now);
        let wait = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait + wait.mul_f64(self.fraction())
    }

    /// From 0 to 1, by SplitMix64.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., a, b] = (mixed ^ (mixed >> 31)).to_le_bytes();
        f64::from(u16::from_le_bytes([a, b])) / f64::from(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_with_jitter_and_begin_again_after_two_good_minutes() {
        let mut all = Vec::new();
        for seed in 0..100 {
            let (mut backoff, mut now) = (Backoff::new(seed), Instant::now());
            for expected in [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
                let (wait, least) = (backoff.failed(now), Duration::from_millis(expected));
                assert!(wait >= least && wait <= 2 * least, "{wait:?} for {least:?}");
                all.push(wait.as_secs_f64() / least.as_secs_f64());
                now += wait;
            }
            assert!(backoff.failed(now) > FIRST * 2, "a good half minute is not enough");
            assert!(backoff.failed(now + 3 * WELL) <= FIRST * 2);
        }
        let mean = all.iter().sum::<f64>() / f64::from(u32::try_from(all.len()).unwrap());
        assert!((1.4..1.6).contains(&mean), "{mean}");
    }
}

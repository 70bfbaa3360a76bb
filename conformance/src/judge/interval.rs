//! The median of paired ratios, with its confidence interval.
//!
//! Two contenders that take turns in a run share its slow and its fast minutes, so the ratio of the samples of one round
//! is steadier than either sample. The interval is the one of the sign test: it lies between two of the sorted ratios, so
//! it assumes no distribution and needs no random numbers. It does assume that rounds do not depend on each other; slow
//! minutes of one contender alone make it too narrow, which is why a contender is measured beside itself.

/// The share of runs in which the interval of a fair run holds the true median.
const CONFIDENCE: f64 = 0.95;

/// A ratio, and between which two values it is with a confidence of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The median of the ratios.
    pub ratio: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Of `own` divided by `other`, sample by sample in the order in which they were taken. What the longer one has more is
    /// ignored. `None` with fewer than six pairs, from which no interval of this confidence follows.
    #[must_use]
    pub fn of_pairs(own: &[f64], other: &[f64]) -> Option<Self> {
        let mut ratios: Vec<f64> = own.iter().zip(other).map(|(own, other)| own / other).collect();
        ratios.sort_by(f64::total_cmp);
        let beyond = beyond(ratios.len())?;
        let (low, high) = (*ratios.get(beyond)?, *ratios.get(ratios.len() - 1 - beyond)?);
        Some(Self { low, ratio: median(&ratios)?, high })
    }

    /// Whether the whole interval differs from 1 by at most `margin`, up or down.
    #[must_use]
    pub fn is_one_within(&self, margin: f64) -> bool {
        self.low >= 1.0 / (1.0 + margin) && self.high <= 1.0 + margin
    }
}

/// Of sorted values.
fn median(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(*sorted.get(half - 1)?, upper)) }
}

/// How many of `count` sorted values lie outside the interval at each end: the most for which a fair coin, thrown `count`
/// times, shows so few heads or so few tails in at most 5 % of all cases.
#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn beyond(count: usize) -> Option<usize> {
    // The logarithm of the chance of exactly `heads` heads: the chance itself is too small for a float from 1,075 on.
    let mut chance = -(count as f64) * std::f64::consts::LN_2;
    let mut at_most = 0.0;
    let mut outside = None;
    for heads in 0..count {
        at_most += chance.exp();
        if 2.0 * at_most > 1.0 - CONFIDENCE {
            break;
        }
        outside = Some(heads);
        chance += ((count - heads) as f64 / (heads + 1) as f64).ln();
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_those_of_the_tables_of_the_sign_test() {
        // The critical values of the two-sided sign test at 5 % (any textbook's table), and the normal approximation.
        let table = [(6, 0), (8, 0), (9, 1), (12, 2), (20, 5), (25, 7), (40, 13), (100, 39), (200, 85), (10_000, 4901)];
        for (count, outside) in table {
            assert_eq!(beyond(count), Some(outside), "{count}");
        }
        for few in 0..6 {
            assert_eq!(beyond(few), None, "{few}");
        }
    }

    #[test]
    fn drift_that_both_share_does_not_widen_the_interval() {
        let other: Vec<f64> = (1..=40).map(f64::from).collect();
        let own: Vec<f64> = other.iter().map(|other| other * 1.25).collect();
        let interval = Interval::of_pairs(&own, &other).unwrap();
        assert_eq!(interval, Interval { low: 1.25, ratio: 1.25, high: 1.25 });
    }

    #[test]
    fn a_few_wild_samples_move_neither_the_ratio_nor_the_ends() {
        let mut own = vec![1.1; 40];
        own[..13].fill(1_000.0);
        let interval = Interval::of_pairs(&own, &[1.0; 40]).unwrap();
        assert_eq!(interval, Interval { low: 1.1, ratio: 1.1, high: 1.1 });
        own[13] = 1_000.0;
        assert!(Interval::of_pairs(&own, &[1.0; 40]).unwrap().high > 999.0, "a fourteenth of 40 is beyond chance");
    }

    #[test]
    fn the_interval_of_unlike_samples_holds_the_median_and_says_the_same_each_time() {
        let own: Vec<f64> = (0..41_u32).map(|round| 1.0 + f64::from((round * 17) % 41) / 41.0).collect();
        let other = vec![1.0; 60];
        let interval = Interval::of_pairs(&own, &other).unwrap();
        assert!(interval.low < interval.ratio && interval.ratio < interval.high, "{interval:?}");
        assert!((interval.ratio - (1.0 + 20.0 / 41.0)).abs() < 1e-9, "{interval:?}");
        assert_eq!(Interval::of_pairs(&own, &other), Some(interval));
        assert_eq!(Interval::of_pairs(&own[..5], &other), None);
    }

    #[test]
    fn one_is_judged_by_the_whole_interval() {
        let interval = |low, high| Interval { low, ratio: 1.0, high };
        assert!(interval(0.96, 1.05).is_one_within(0.05));
        assert!(!interval(0.94, 1.0).is_one_within(0.05));
        assert!(!interval(1.0, 1.06).is_one_within(0.05));
    }
}

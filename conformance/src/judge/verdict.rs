//! The verdict on a bar: by time where the machine is steady enough to tell, and otherwise by counts.

use std::fmt;

use super::Interval;

/// What a ratio must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Own over the other's.
    AtMost(f64),
    /// Own over the other's.
    AtLeast(f64),
    /// The other's over own.
    TimesFaster(f64),
}

/// What is known of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is on the right side.
    Held,
    /// The whole interval is on the wrong side.
    Missed,
    /// The interval holds the bar: more rounds are needed.
    Close,
    /// Too few rounds for an interval.
    TooFew,
    /// A program beside itself differs by more than the bar's margin, or was not measured.
    CannotBeTold,
    /// The time does not decide, and by the counts the bar is held.
    HeldByCounts,
    /// The time does not decide, and by the counts the bar is missed.
    MissedByCounts,
}

impl Bound {
    /// How far from 1 the bar is: what a program beside itself may differ at most.
    #[must_use]
    pub fn margin(self) -> f64 {
        match self {
            Self::AtMost(bar) => bar - 1.0,
            Self::AtLeast(bar) => 1.0 - bar,
            Self::TimesFaster(bar) => bar - 1.0,
        }
    }

    /// The bar as a value of own over the other's, and whether that is the most.
    fn bar(self) -> (f64, bool) {
        match self {
            Self::AtMost(bar) => (bar, true),
            Self::AtLeast(bar) => (bar, false),
            Self::TimesFaster(bar) => (1.0 / bar, true),
        }
    }

    /// Judges `ratio`, own over the other's. `twin` is a program beside itself, measured in the same run as the others, and
    /// `counts` the ratio that follows from counts, if they were made.
    #[must_use]
    pub fn judge(self, ratio: Option<Interval>, twin: Option<Interval>, counts: Option<f64>) -> Verdict {
        let by_time = self.by_time(ratio, twin);
        match (by_time, counts) {
            (Verdict::Held | Verdict::Missed, _) | (_, None) => by_time,
            (_, Some(ratio)) if self.holds(ratio) => Verdict::HeldByCounts,
            (_, Some(_)) => Verdict::MissedByCounts,
        }
    }

    fn by_time(self, ratio: Option<Interval>, twin: Option<Interval>) -> Verdict {
        let Some(ratio) = ratio else { return Verdict::TooFew };
        if !twin.is_some_and(|twin| twin.is_one_within(self.margin())) {
            return Verdict::CannotBeTold;
        }
        match (self.holds(ratio.low), self.holds(ratio.high)) {
            (true, true) => Verdict::Held,
            (false, false) => Verdict::Missed,
            _ => Verdict::Close,
        }
    }

    fn holds(self, ratio: f64) -> bool {
        let (bar, most) = self.bar();
        if most { ratio <= bar } else { ratio >= bar }
    }

    /// A ratio with its interval, and the bar beside it.
    #[must_use]
    pub fn describe(self, ratio: &Interval) -> String {
        let Interval { low, ratio, high } = ratio;
        match self {
            Self::AtMost(bar) => format!("{ratio:.2}x ({low:.2} to {high:.2}), at most {bar:.2}x"),
            Self::AtLeast(bar) => format!("{ratio:.2}x ({low:.2} to {high:.2}), at least {bar:.2}x"),
            Self::TimesFaster(bar) => {
                let [slow, middle, fast] = [high, ratio, low].map(|ratio| 1.0 / ratio);
                format!("{middle:.1}x faster ({slow:.1} to {fast:.1}), at least {bar:.0}x")
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Held => "held",
            Self::Missed => "MISSED",
            Self::Close => "close",
            Self::TooFew => "too few rounds",
            Self::CannotBeTold => "cannot be told on this machine",
            Self::HeldByCounts => "held by counts",
            Self::MissedByCounts => "MISSED by counts",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, high: f64) -> Option<Interval> {
        Some(Interval { low, ratio: f64::midpoint(low, high), high })
    }

    #[test]
    fn a_steady_machine_decides_by_the_whole_interval() {
        let steady = interval(0.98, 1.03);
        let cases = [
            (Bound::AtMost(1.2), (1.10, 1.19), Verdict::Held),
            (Bound::AtMost(1.2), (1.15, 1.25), Verdict::Close),
            (Bound::AtMost(1.2), (1.21, 1.25), Verdict::Missed),
            (Bound::AtLeast(0.95), (0.96, 1.10), Verdict::Held),
            (Bound::AtLeast(0.95), (0.90, 0.96), Verdict::Close),
            (Bound::AtLeast(0.95), (0.80, 0.90), Verdict::Missed),
            (Bound::TimesFaster(4.0), (0.10, 0.20), Verdict::Held),
            (Bound::TimesFaster(4.0), (0.20, 0.30), Verdict::Close),
            (Bound::TimesFaster(4.0), (0.26, 0.30), Verdict::Missed),
        ];
        for (bound, (low, high), verdict) in cases {
            assert_eq!(bound.judge(interval(low, high), steady, None), verdict, "{bound:?} {low} {high}");
        }
        assert_eq!(Bound::AtMost(1.2).judge(None, steady, None), Verdict::TooFew);
    }

    #[test]
    fn counts_never_overrule_a_time_that_decides() {
        let steady = interval(0.98, 1.03);
        assert_eq!(Bound::AtMost(1.2).judge(interval(1.3, 1.4), steady, Some(1.0)), Verdict::Missed);
        assert_eq!(Bound::AtMost(1.2).judge(interval(1.0, 1.1), steady, Some(9.0)), Verdict::Held);
    }

    #[test]
    fn a_machine_on_which_a_program_differs_from_itself_by_the_margin_cannot_tell() {
        let bound = Bound::AtMost(1.2);
        for twin in [interval(0.95, 1.3), interval(0.7, 1.0), None] {
            for ratio in [interval(1.0, 1.1), interval(1.3, 1.4)] {
                assert_eq!(bound.judge(ratio, twin, None), Verdict::CannotBeTold, "{twin:?}");
                assert_eq!(bound.judge(ratio, twin, Some(1.1)), Verdict::HeldByCounts);
                assert_eq!(bound.judge(ratio, twin, Some(1.3)), Verdict::MissedByCounts);
            }
        }
        // What is too much for a narrow bar leaves a wide one as it is.
        let twin = interval(0.95, 1.3);
        assert_eq!(Bound::TimesFaster(6.0).judge(interval(0.1, 0.12), twin, None), Verdict::Held);
        assert_eq!(Bound::AtLeast(0.95).judge(interval(1.0, 1.1), interval(0.93, 1.0), None), Verdict::CannotBeTold);
    }

    #[test]
    fn counts_decide_where_the_interval_holds_the_bar() {
        let steady = interval(0.98, 1.03);
        assert_eq!(Bound::AtMost(1.2).judge(interval(1.1, 1.3), steady, Some(1.15)), Verdict::HeldByCounts);
        assert_eq!(Bound::AtMost(1.2).judge(None, steady, Some(1.25)), Verdict::MissedByCounts);
    }

    #[test]
    fn what_is_printed_has_ratio_interval_and_bar() {
        let ratio = Interval { low: 0.10, ratio: 0.125, high: 0.2 };
        assert_eq!(Bound::AtMost(1.2).describe(&ratio), "0.12x (0.10 to 0.20), at most 1.20x");
        assert_eq!(Bound::TimesFaster(6.0).describe(&ratio), "8.0x faster (5.0 to 10.0), at least 6x");
    }
}

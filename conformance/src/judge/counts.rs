//! The time that follows from counts, for machines whose clock cannot tell: counts are the same on every machine and in
//! every run.
//!
//! What a program does beyond another one is priced, and added to the other's time. The prices are of the machine of
//! docs/bench (docs/decisions.md, "Speed"). Measure them again where a steady machine says otherwise.

/// What a call asks of the processor and of the kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counts {
    /// Instructions in user space.
    pub instructions: f64,
    /// System calls.
    pub system_calls: f64,
    /// Page faults that need no disk.
    pub page_faults: f64,
    /// Netlink requests.
    pub netlink_requests: f64,
}

/// Milliseconds of one each, in a program that runs once and finds the caches cold.
const PRICES: Counts =
    Counts { instructions: 0.45e-6, system_calls: 0.5e-3, page_faults: 2.5e-3, netlink_requests: 5e-3 };

impl Counts {
    /// The time of a program with these counts, divided by `milliseconds`, the time of one with the counts `other`.
    #[must_use]
    pub fn ratio(&self, other: &Self, milliseconds: f64) -> f64 {
        1.0 + (self.price() - other.price()) / milliseconds
    }

    fn price(&self) -> f64 {
        let Self { instructions, system_calls, page_faults, netlink_requests } = self;
        instructions * PRICES.instructions
            + system_calls * PRICES.system_calls
            + page_faults * PRICES.page_faults
            + netlink_requests * PRICES.netlink_requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Counts = Counts { instructions: 1e5, system_calls: 20.0, page_faults: 30.0, netlink_requests: 10.0 };

    #[test]
    fn equal_counts_are_equal_times_and_each_count_beyond_is_time_beyond() {
        assert!((FEW.ratio(&FEW, 1.0) - 1.0).abs() < 1e-12);
        let more = [
            Counts { instructions: 2e5, ..FEW },
            Counts { system_calls: 21.0, ..FEW },
            Counts { page_faults: 31.0, ..FEW },
            Counts { netlink_requests: 11.0, ..FEW },
        ];
        for more in more {
            assert!(more.ratio(&FEW, 1.0) > 1.0, "{more:?}");
            assert!(FEW.ratio(&more, 1.0) < 1.0, "{more:?}");
        }
    }

    #[test]
    fn the_same_work_beyond_is_less_beside_more_time() {
        let more = Counts { system_calls: 120.0, ..FEW };
        let (short, long) = (more.ratio(&FEW, 1.0) - 1.0, more.ratio(&FEW, 20.0) - 1.0);
        assert!((short / long - 20.0).abs() < 1e-6, "{short} {long}");
    }
}

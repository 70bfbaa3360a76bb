//! Judging a bar (a ratio that podlan must keep): the interval of a ratio, the verdict by time, and the verdict by counts.
//! Owns the statistics, as pure functions; where the samples come from, and which bars there are, the caller knows.

mod counts;
mod interval;
mod verdict;

pub use counts::Counts;
pub use interval::Interval;
pub use verdict::{Bound, Verdict};

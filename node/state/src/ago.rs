//! How long ago a time of the state was, for people. Times are seconds since 1970, 0 is "never"; a time that the clock
//! showed before it was set says nothing. Pure.

/// 2020: a clock that shows an earlier time was never set.
const SET: u64 = 1_577_836_800;

/// How long ago `then` was: `12s ago`, `1d3h ago`, `never`, or that it is unknown.
pub fn ago(then: u64, now: u64) -> String {
    match (then, for_how_long(then, now)) {
        (0, _) => "never".to_owned(),
        (_, Some(age)) => format!("{age} ago"),
        (_, None) => "at an unknown time (the node's clock was set since)".to_owned(),
    }
}

/// The time since `then`; `None` where that is unknown.
pub fn for_how_long(then: u64, now: u64) -> Option<String> {
    (then >= SET).then(|| now.checked_sub(then).map(shown)).flatten()
}

/// A duration of so many seconds in its two largest units.
pub fn shown(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_never_was_or_of_an_unset_clock_is_not_shown_as_an_age() {
        let now = 1_795_894_385;
        assert_eq!(ago(0, now), "never");
        assert_eq!(ago(now - 12, now), "12s ago");
        assert_eq!(ago(17, now), "at an unknown time (the node's clock was set since)");
        assert_eq!(ago(now + 9, now), "at an unknown time (the node's clock was set since)");
        assert_eq!([for_how_long(0, now), for_how_long(now - 90, now)], [None, Some("1m30s".to_owned())]);
    }

    #[test]
    fn durations_are_shown_in_the_two_largest_units() {
        let shown = [0, 59, 60, 3599, 3600, 86_399, 86_400, 950_400].map(shown);
        assert_eq!(shown, ["0s", "59s", "1m0s", "59m59s", "1h0m", "23h59m", "1d0h", "11d0h"]);
    }
}

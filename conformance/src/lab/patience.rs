//! How long the lab waits. Deadlines are written for processors of today; where programs run slower, such as in an emulator, the
//! environment multiplies all of them. Times that a test measures, and those for which it watches, stay as they are.

use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// By how much deadlines are multiplied: a whole number, 1 where it is not set.
const SLOWER: &str = "PODLAN_LAB_SLOWER";

/// A deadline on this machine.
///
/// # Panics
/// When `PODLAN_LAB_SLOWER` is no whole number above zero.
#[must_use]
pub fn patient(deadline: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    deadline
        * *FACTOR.get_or_init(|| match std::env::var(SLOWER) {
            Ok(text) => factor(&text).unwrap_or_else(|| panic!("{SLOWER}={text} is no whole number above zero")),
            Err(_) => 1,
        })
}

/// The time at which a wait that begins now, with this deadline, ends without success.
///
/// # Panics
/// As [`patient`].
#[must_use]
pub fn until(deadline: Duration) -> Instant {
    Instant::now() + patient(deadline)
}

fn factor(text: &str) -> Option<u32> {
    text.parse().map(NonZeroU32::get).ok()
}

#[cfg(test)]
mod tests {
    use super::factor;

    #[test]
    fn a_factor_is_a_whole_number_above_zero() {
        assert_eq!(factor("15"), Some(15));
        for text in ["", "0", "-1", "1.5", "fast"] {
            assert_eq!(factor(text), None, "{text}");
        }
    }
}

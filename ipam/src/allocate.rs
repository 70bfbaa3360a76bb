//! Which address comes next. Pure: a view of the pool goes in, a choice comes out.
//! It knows no addresses, files or clocks; the caller carries the choice out.

use std::time::Duration;

/// While a pool has used fewer addresses than this it takes new ones first, so that a released address rests for long.
pub(crate) const FRESH_FIRST: u32 = 4096;
/// A pool that has used more addresses than this takes new ones only when there is no other, so that churn does not grow the
/// store without end.
pub(crate) const FRESH_MOST: u32 = 1 << 20;

/// How long the address rested that was released the longest ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Released in this boot, so long ago.
    For(Duration),
    /// Released in an earlier boot: no host has connections of its owner left.
    SinceBefore,
}

/// What a pool has to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Is there an address that was never used?
    pub(crate) fresh: bool,
    /// How many addresses were used at least once.
    pub(crate) used: u32,
    /// The address released the longest ago.
    pub(crate) oldest: Option<Rest>,
}

/// Which of the two ends to take from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The next address that was never used.
    Fresh,
    /// The address released the longest ago; `early` when its cooldown is not over.
    Oldest { early: bool },
    /// This pool has nothing.
    Nothing,
}

/// A new address while the pool is small or the oldest released one is still in its cooldown; then the oldest released one.
/// The cooldown is soft: an address is given before its end when the pool has no other.
pub(crate) fn choose(offer: &Offer, cooldown: Duration) -> Choice {
    let early = match offer.oldest {
        None => return if offer.fresh { Choice::Fresh } else { Choice::Nothing },
        Some(Rest::SinceBefore) => false,
        Some(Rest::For(rest)) => rest < cooldown,
    };
    if offer.fresh && (offer.used < FRESH_FIRST || early && offer.used < FRESH_MOST) {
        Choice::Fresh
    } else {
        Choice::Oldest { early }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_used_first_then_oldest_released_and_cooldown_yields() {
        let cooldown = Duration::from_secs(120);
        let warm = Some(Rest::For(Duration::from_secs(1)));
        let cold = Some(Rest::For(cooldown));
        for (fresh, used, oldest, choice) in [
            (true, 0, None, Choice::Fresh),
            (true, 100, cold, Choice::Fresh),
            (true, FRESH_FIRST, cold, Choice::Oldest { early: false }),
            (true, FRESH_FIRST, warm, Choice::Fresh),
            (true, FRESH_MOST, warm, Choice::Oldest { early: true }),
            (true, FRESH_MOST, None, Choice::Fresh),
            (false, 253, warm, Choice::Oldest { early: true }),
            (false, 253, cold, Choice::Oldest { early: false }),
            (false, 253, Some(Rest::SinceBefore), Choice::Oldest { early: false }),
            (false, 253, None, Choice::Nothing),
        ] {
            let offer = Offer { fresh, used, oldest };
            assert_eq!(choose(&offer, cooldown), choice, "{offer:?}");
        }
    }
}

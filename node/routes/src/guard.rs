//! The blast-radius guard: a snapshot that would withdraw most of the routes is believed only when it still says so
//! later. A bad list (an API server that lost its store, a truncated export) must not cut a node off from its peers.

use std::time::{Duration, Instant};

/// When a withdrawal is held, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The share of the peers' routes that one snapshot may withdraw, 0 to 1. All of them are never withdrawn at once.
    pub share: f64,
    /// How long a larger withdrawal must stand.
    pub hold: Duration,
}

/// What a turn would remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// All of its removals.
    pub(crate) removals: usize,
    /// Those of routes to peers.
    pub peers: usize,
    /// How many routes to peers there are now.
    pub of: usize,
    /// The snapshot names no node at all.
    pub(crate) by_empty_list: bool,
}

/// The guard's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing is held.
    Open,
    /// A withdrawal is held.
    Holding(Held),
    /// The operator let the withdrawal go that the next turn would hold.
    Released,
}

/// A withdrawal that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it was first asked for.
    pub since: Instant,
    /// From when on a snapshot that still asks for it is believed.
    pub until: Instant,
    /// What it would remove.
    pub withdrawal: Withdrawal,
}

impl Guard {
    /// Judges a turn that would make `withdrawal` by a snapshot taken at `taken`. True: let it remove.
    pub fn judge(&mut self, limits: Limits, withdrawal: Withdrawal, taken: Instant) -> bool {
        // While it holds, what counts is the share of the routes that were there when it began.
        let of = match self {
            Self::Holding(held) => held.withdrawal.of.min(withdrawal.of),
            Self::Open | Self::Released => withdrawal.of,
        };
        let withdrawal = Withdrawal { of, ..withdrawal };
        if !withdrawal.is_large(limits) {
            // A release is meant for the withdrawal at hand; it does not wait for another.
            *self = Self::Open;
            return true;
        }
        let since = match self {
            Self::Released => {
                *self = Self::Open;
                return true;
            }
            // What is much more than what was held has not been asked for as long.
            Self::Holding(held) if withdrawal.is_much_more_than(held.withdrawal, limits) => taken,
            Self::Holding(held) if taken >= held.until => {
                *self = Self::Open;
                return true;
            }
            Self::Holding(held) => held.since,
            Self::Open => taken,
        };
        *self = Self::Holding(Held { since, until: later(since, limits.hold), withdrawal });
        false
    }

    /// Lets what is held go; false when nothing is.
    pub fn release(&mut self) -> bool {
        let held = matches!(self, Self::Holding(_));
        if held {
            *self = Self::Released;
        }
        held
    }
}

impl Withdrawal {
    /// Whether the guard holds it.
    pub(crate) fn is_large(&self, limits: Limits) -> bool {
        let Self { removals, peers, of, by_empty_list } = *self;
        let most = peers > 0 && (peers >= of || share(peers, of) > limits.share);
        removals > 0 && (by_empty_list || most)
    }

    /// Whether it goes so far beyond one that is held that the guard would hold the rest alone: by a list that is empty now, by
    /// all routes instead of some, or by more than the share.
    fn is_much_more_than(&self, held: Self, limits: Limits) -> bool {
        let Self { peers, of, by_empty_list, .. } = *self;
        let is_all = peers >= of && held.peers < held.of;
        by_empty_list && !held.by_empty_list || is_all || share(peers.saturating_sub(held.peers), of) > limits.share
    }
}

/// How long is as good as for ever: an `Instant` holds no more than some centuries.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn later(since: Instant, hold: Duration) -> Instant {
    since + hold.min(FOR_EVER)
}

#[expect(clippy::cast_precision_loss, reason = "a share of route counts, far below 2^52")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { share: 0.5, hold: Duration::from_secs(60) };

    fn peers(peers: usize, of: usize) -> Withdrawal {
        Withdrawal { removals: peers, peers, of, by_empty_list: false }
    }

    #[test]
    fn half_is_withdrawn_at_once_and_more_is_held() {
        let now = Instant::now();
        assert!(Guard::Open.judge(LIMITS, peers(1, 2), now));
        assert!(Guard::Open.judge(LIMITS, peers(0, 0), now));
        assert!(!Guard::Open.judge(LIMITS, peers(2, 3), now));
    }

    #[test]
    fn all_routes_are_never_withdrawn_at_once_whatever_the_share() {
        let limits = Limits { share: 1.0, ..LIMITS };
        assert!(!Guard::Open.judge(limits, peers(3, 3), Instant::now()));
        assert!(Guard::Open.judge(limits, peers(2, 3), Instant::now()));
    }

    #[test]
    fn an_empty_list_withdraws_nothing_not_even_the_own_route() {
        let own = Withdrawal { removals: 1, peers: 0, of: 0, by_empty_list: true };
        assert!(!Guard::Open.judge(LIMITS, own, Instant::now()));
        assert!(Guard::Open.judge(LIMITS, Withdrawal { by_empty_list: false, ..own }, Instant::now()));
        assert!(Guard::Open.judge(LIMITS, Withdrawal { removals: 0, ..own }, Instant::now()));
    }

    #[test]
    fn only_a_snapshot_taken_after_the_hold_is_believed() {
        let start = Instant::now();
        let mut guard = Guard::Open;
        assert!(!guard.judge(LIMITS, peers(3, 3), start));
        assert!(!guard.judge(LIMITS, peers(3, 3), start), "the same snapshot again, whatever the clock says");
        assert!(!guard.judge(LIMITS, peers(3, 3), start + Duration::from_secs(59)));
        assert!(guard.judge(LIMITS, peers(3, 3), start + Duration::from_secs(60)));
        assert_eq!(guard, Guard::Open);
    }

    #[test]
    fn a_withdrawal_that_grows_by_much_is_held_from_then_on() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let empty = Withdrawal { removals: 11, peers: 10, of: 10, by_empty_list: true };
        for (first, then) in [(peers(6, 10), peers(10, 10)), (peers(6, 10), empty), (peers(60, 100), peers(61, 61))] {
            let mut guard = Guard::Open;
            assert!(!guard.judge(LIMITS, first, start));
            assert!(!guard.judge(LIMITS, then, at(59)));
            assert!(!guard.judge(LIMITS, then, at(61)), "{then:?} came two seconds before");
            assert!(guard.judge(LIMITS, then, at(119)));
        }
        let mut guard = Guard::Open;
        assert!(!guard.judge(LIMITS, peers(6, 10), start));
        assert!(!guard.judge(LIMITS, peers(8, 10), at(30)));
        assert!(guard.judge(LIMITS, peers(8, 10), at(60)), "a little more is no other withdrawal");
    }

    #[test]
    fn a_hold_without_end_holds() {
        let limits = Limits { hold: Duration::MAX, ..LIMITS };
        let (start, mut guard) = (Instant::now(), Guard::Open);
        assert!(!guard.judge(limits, peers(3, 3), start));
        assert!(!guard.judge(limits, peers(3, 3), start + Duration::from_secs(1 << 30)));
    }

    #[test]
    fn a_list_that_recovers_restarts_the_hold() {
        let start = Instant::now();
        let mut guard = Guard::Open;
        guard.judge(LIMITS, peers(3, 3), start);
        assert!(guard.judge(LIMITS, peers(1, 3), start + Duration::from_secs(30)));
        assert!(!guard.judge(LIMITS, peers(3, 3), start + Duration::from_secs(61)));
    }

    #[test]
    fn routes_that_come_meanwhile_do_not_make_the_withdrawal_small() {
        let start = Instant::now();
        let mut guard = Guard::Open;
        assert!(!guard.judge(LIMITS, peers(100, 100), start));
        assert!(!guard.judge(LIMITS, peers(100, 300), start));
    }

    #[test]
    fn the_operator_releases_what_is_held_and_nothing_later() {
        let start = Instant::now();
        let mut guard = Guard::Open;
        assert!(!guard.release(), "nothing is held");
        guard.judge(LIMITS, peers(3, 3), start);
        assert!(guard.release());
        assert!(guard.judge(LIMITS, peers(3, 3), start));
        assert!(!guard.judge(LIMITS, peers(3, 3), start));
    }
}

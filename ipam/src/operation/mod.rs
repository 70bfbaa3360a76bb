//! What is done with leases: give, release, retain, scavenge, look, answer STATUS.
//! Each looks, proves and changes, in this order. The lock is never held while something outside the store is asked.

mod choose;
mod give;
mod look;
mod reclaim;
mod remove;
mod status;
mod want;

pub use self::give::lease;
pub use self::look::{are_held, audit, leases, leases_of};
pub use self::remove::{Collector, Scavenged, give_back, release, retain, scavenge};
pub use self::status::{Counts, SetCounts, counts, status};
pub use self::want::{MOST_SETS, Require, Want};

/// The same operations in any store directory, at a moment of the caller's choice: for tests, dry runs and migration.
pub mod on {
    pub use super::give::Request;
    pub use super::look::{are_held_in as are_held, leases_of_in as leases_of, select};
    pub use super::remove::{
        release_in as release, remove, retain_in as retain, scavenge_in as scavenge, void_earlier_boots,
    };
    pub use super::status::rehearse as status;
}

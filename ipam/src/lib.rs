//! Cluster-unique addresses for pods: ranges, leases, and what is done with them. An address of a network has at most one
//! owner, whatever is killed at whatever moment.
//!
//! How leases are kept is the crate `store`; links and routes are the plugin's.

#![forbid(unsafe_code)]

mod allocate;
mod error;
mod liveness;
mod operation;
mod place;
pub mod process;
mod range;
pub mod regular;
mod settings;

pub use error::Error;
pub use liveness::{Liveness, NoLinks, Presence, netns_identity};
pub use operation::{
    Collector, Counts, MOST_SETS, Require, Scavenged, SetCounts, Want, are_held, audit, counts, give_back, lease,
    leases, leases_of, on, release, retain, scavenge, status,
};
pub use place::{DEFAULT_DATA_DIR, DEFAULT_LOCK_TIMEOUT, Place, network_directories, place_in, places};
pub use range::{Range, RangeError, RangeSet, after, distance, probe_address};
pub use settings::{DEFAULT_COOLDOWN, Settings};
pub use store::{Audit, BootId, Claim, Error as StoreError, Lease, Proof, Stamp};

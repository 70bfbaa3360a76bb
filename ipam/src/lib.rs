//! Cluster-unique addresses for pods: ranges, leases, and the file-locked store that keeps them.
//!
//! An address of a network has at most one owner, whatever is killed at whatever moment; the form of the store and
//! why that holds is written in `ipam/FORMAT.md`. Refuses the datapath: links and routes are the plugin's.

#![forbid(unsafe_code)]

mod allocate;
mod claim;
mod error;
mod lease;
mod netns;
mod now;
mod operation;
mod place;
pub mod process;
mod range;
pub mod regular;
mod settings;
mod store;

pub use claim::Claim;
pub use error::Error;
pub use lease::{Lease, NoLinks, Presence, Proof, Prover};
pub use netns::identity as netns_identity;
pub use now::{BootId, Stamp};
pub use operation::{
    Collector, Counts, Imported, MOST_SETS, Refusal, Refused, Require, Scavenged, SetCounts, Want, are_held, audit,
    counts, give_back, import, lease, leases, leases_of, presence, rehearse_import, release, retain, scavenge, status,
};
pub use place::{DEFAULT_DATA_DIR, DEFAULT_LOCK_TIMEOUT, Place, network_directories, place_in, places};
pub use range::{Range, RangeError, RangeSet};
pub use settings::{DEFAULT_COOLDOWN, Settings};
pub use store::audit::Audit;

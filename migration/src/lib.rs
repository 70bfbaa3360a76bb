//! Migration from host-local: which of its leases are taken over, and what proves their pods alive from then on.
//! It is used once in a cluster's life, so only the node agent links it; the plugin, executed for each pod, does not.

#![forbid(unsafe_code)]

mod host_local;
mod import;
mod known_pods;
mod living;
mod plan;
mod record;

pub use host_local::Found;
pub use import::{Imported, Reading, Refusal, Refused, Wanted, dry_run, import, import_in};
pub use known_pods::{Decision, KnownPods, RESULTS};
pub use living::{Error as LivingError, Living};

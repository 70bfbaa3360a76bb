//! Migration from host-local: which of its leases are taken over, and what proves their pods alive from then on.
//! It is used once in a cluster's life, so only the node agent links it; the plugin, executed for each pod, does not.

#![forbid(unsafe_code)]

mod known_pods;
mod living;
mod record;

pub use known_pods::{Decision, KnownPods, RESULTS};
pub use living::{Error as LivingError, Living};

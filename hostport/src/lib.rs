//! Host ports: ports of the node that lead to ports of pods, which the capability `portMappings` asks for.
//!
//! One packet filter table (`inet podlan-hostport`; one of `ip` and one of `ip6` where the kernel has no NAT in inet) has maps whose elements lead from the node's address and port to the pod's,
//! and rules that never change ([`table`]). One record for each attachment with a host port lies in a directory beside the
//! networks' leases, behind a lock of its own ([`Ports`]): a port belongs to the node, not to a network. The plugin adds and
//! removes; the agent restores from the records what other programs removed.
//!
//! The order makes each kill harmless: the record is written before the elements come and removed after they have gone, so
//! that every element has a record, and DEL, GC or the agent finish what is left.

#![forbid(unsafe_code)]

mod check;
mod claim;
mod conntrack;
mod error;
mod files;
mod forward;
mod kernel;
pub mod portmap;
mod record;
mod restore;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::Error;
pub use forward::{Forward, forwards};
pub use record::Record;
pub use restore::Restored;
pub use table::{NAME, table};

/// The directory of the records. No network has this name, for a name begins with a letter or a digit.
const DIRECTORY: &str = "_hostports";

/// The host ports of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    directory: PathBuf,
    patience: Duration,
}

impl Ports {
    /// Those whose records lie beside the networks of `data_dir`; `patience` is how long the lock is waited for. Touches
    /// nothing.
    #[must_use]
    pub fn below(data_dir: &Path, patience: Duration) -> Self {
        Self { directory: data_dir.join(DIRECTORY), patience }
    }
}

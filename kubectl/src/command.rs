//! The commands: each asks, has the answers made a report, and prints it. They decide nothing else.

pub(crate) mod doctor;
pub(crate) mod leases;
pub(crate) mod map;
pub(crate) mod paths;
pub(crate) mod report;
pub(crate) mod smoke;
pub(crate) mod status;
pub(crate) mod trace;

use std::time::{SystemTime, UNIX_EPOCH};

/// How a command ended: its exit code, or why it could not begin.
pub(crate) type Ran = Result<u8, String>;

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

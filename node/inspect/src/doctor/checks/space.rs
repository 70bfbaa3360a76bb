//! Is there room in the file systems of the run directory and of the stores?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;
use facts::machine::Space;

/// What the agent's files and a lease need, bytes.
const NEEDED: u64 = 256 << 10;
/// Below this, and below a twentieth of the file system, it is nearly full.
const LITTLE: u64 = 16 << 20;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let all = facts.space.as_ref().map_err(Clone::clone)?;
    if all.is_empty() {
        return Ok(Finding::moot("neither the run directory nor a store exists"));
    }
    let least = all.iter().map(|space| space.free >> 20).min().unwrap_or_default();
    Ok(Finding::of(all.iter().filter_map(problem).collect(), format!("{least} MiB are free")))
}

fn problem(space: &Space) -> Option<Condition> {
    let Space { directory, free, size, free_files } = space;
    let (kind, wrong) = match (free, free_files) {
        (_, Some(0)) => {
            (Kind::DiskFull, format!("the file system of {directory} has no room for another file (inodes)"))
        }
        (free, _) if *free < NEEDED => {
            (Kind::DiskFull, format!("the file system of {directory} is full: {} KiB are free", free >> 10))
        }
        (_, Some(files)) if *files < 64 => {
            (Kind::DiskNearlyFull, format!("the file system of {directory} has room for {files} files only (inodes)"))
        }
        (free, _) if *free < LITTLE && free.saturating_mul(20) < *size => (
            Kind::DiskNearlyFull,
            format!("the file system of {directory} is nearly full: {} KiB of {} MiB are free", free >> 10, size >> 20),
        ),
        _ => return None,
    };
    Some(Condition::new(kind, directory.as_str(), wrong).decided_by_a_person(format!(
        "see what fills it (df -h {directory}; df -i {directory}; du -xh MOUNT | sort -h | tail), and remove that"
    )))
}

//! Can the lease stores be read, and is their clock this node's?

use super::super::finding::{Finding, Outcome, Problem, some};
use facts::Facts;

/// A lease may be created during the check.
const MEANWHILE: u64 = 60_000;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let leases = facts.leases()?;
    let mut problems: Vec<Problem> = leases
        .unreadable
        .iter()
        .map(|error| {
            Problem::new(
                error.clone(),
                "pods of that network can be neither created nor removed while its store cannot be read",
                "ipam/store/FORMAT.md, \"Damage\": the store is a text file, and the named line is the damaged one",
            )
        })
        .collect();
    let now = leases.now;
    let future: Vec<String> = leases
        .all
        .iter()
        .filter(|(_, lease, _)| {
            lease.since.boot == now.boot && lease.since.millis > now.millis.saturating_add(MEANWHILE)
        })
        .map(|(network, lease, _)| format!("{} ({network})", lease.address.ip()))
        .collect();
    if !future.is_empty() {
        problems.push(Problem::new(
            format!("leases have times in the future of this boot's clock: {}", some(&future)),
            "cooldowns end at the wrong time, so that an address may be given again too early",
            "the runtime's CNI plugins run in another time namespace, or the store was copied from another machine: \
             run \
             them in the node's own, or move the store away once its pods are gone",
        ));
    }
    let former = leases.all.iter().filter(|(_, lease, _)| lease.since.boot != now.boot).count();
    let suspect = if former == 0 { String::new() } else { format!("; {former} leases are of an earlier boot") };
    Ok(Finding::of(problems, format!("readable, on this boot's clock{suspect}")))
}

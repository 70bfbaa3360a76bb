//! Can the lease stores be read, and is their clock this node's?

use super::super::finding::{Finding, Outcome, some};
use conditions::{Condition, Kind};
use facts::Facts;
use facts::machine::Holder;

/// A lease may be created during the check.
const MEANWHILE: u64 = 60_000;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let leases = facts.leases()?;
    let mut problems: Vec<Condition> = leases
        .unreadable
        .iter()
        .map(|error| Condition::new(Kind::StoreUnreadable, path(error), error.clone()))
        .collect();
    problems.extend(facts.holders.iter().map(locked));
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
        problems.push(
            Condition::new(
                Kind::StoreClock,
                "",
                format!("leases have times in the future of this boot's clock: {}", some(&future)),
            )
            .decided_by_a_person(
                "the runtime's CNI plugins run in another time namespace, or the store was copied from another \
                 machine: run them in the node's own, or move the store away once its pods are gone",
            ),
        );
    }
    let former = leases.all.iter().filter(|(_, lease, _)| lease.since.boot != now.boot).count();
    let suspect = if former == 0 { String::new() } else { format!("; {former} leases are of an earlier boot") };
    Ok(Finding::of(problems, format!("readable, on this boot's clock{suspect}")))
}

/// The path that an error names.
fn path(error: &str) -> &str {
    let path = error.split_whitespace().find(|word| word.starts_with('/'));
    path.map_or("", |path| path.trim_end_matches([':', ',']))
}

fn locked(holder: &Holder) -> Condition {
    let Holder { lock, pid, command, stopped } = holder;
    let who = match (pid, command.as_str()) {
        (0, _) => "a process of another pid namespace".to_owned(),
        (pid, "") => format!("the process {pid}"),
        (pid, command) => format!("the process {pid} (`{command}`)"),
    };
    let how = if *stopped { ", which is stopped," } else { "" };
    let condition =
        Condition::new(Kind::StoreLocked, lock.as_str(), format!("{who}{how} has held the lock {lock} for a while"));
    if *stopped {
        return condition
            .decided_by_a_person(format!("kill -CONT {pid} has it go on, kill -9 {pid} ends it; the lock ends with it"))
            .by_command(format!("kill -CONT {pid}"));
    }
    condition.decided_by_a_person(format!(
        "see what it waits for (cat /proc/{pid}/wchan; ls -l /proc/{pid}/fd); a plugin ends within its deadline; the lock \
         ends with the process: kill {pid}"
    ))
}

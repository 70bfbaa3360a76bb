//! Are there leases whose pods are gone?

use ipam::Presence;

use super::super::finding::{Finding, Outcome, some};
use conditions::{Condition, Fix, Kind};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let leases = facts.leases()?;
    if let Some(error) = leases.unreadable.first() {
        return Err(error.clone());
    }
    let dead: Vec<String> = leases
        .all
        .iter()
        .filter(|(.., presence)| *presence == Presence::Gone)
        .map(|(network, lease, _)| {
            let pod = lease.proof.pod.clone().unwrap_or_else(|| lease.owner.container_id.to_string());
            format!("{} of {pod} ({network})", lease.address.ip())
        })
        .collect();
    let problem = || {
        Condition::new(
            Kind::LeaseDead,
            "",
            format!("leases whose pods are provably gone ({}): {}", dead.len(), some(&dead)),
        )
        .because(
            "no other pod gets those addresses; when no address is left, new pods fail with \"no IP addresses \
             available\"",
        )
        .decided_by_a_person(
            "podlan-node doctor --fix releases them; a running agent does so for the stores below its --data-dir",
        )
        .by_command("podlan-node doctor --fix")
        .fixed_by(Fix::TakeBackLeases)
    };
    let problems = if dead.is_empty() { Vec::new() } else { vec![problem()] };
    let unknown = leases.all.iter().filter(|(.., presence)| *presence == Presence::Unknown).count();
    let unsure = if unknown == 0 { String::new() } else { format!(", {unknown} cannot be checked from here") };
    Ok(Finding::of(problems, format!("none of {} is provably dead{unsure}", leases.all.len())))
}

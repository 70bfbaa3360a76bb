//! Have the pools addresses left? Each range set by itself: a pod needs one address of each.

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::{Facts, Room};

/// A pool is nearly exhausted when fewer than one in so many addresses is free.
const FEW: u64 = 10;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let rooms = facts.rooms()?;
    if rooms.is_empty() {
        return Ok(Finding::moot("no configuration leases from podlan-ipam"));
    }
    let problems = rooms.iter().filter_map(problem).collect();
    let least = rooms.iter().min_by_key(|room| room.free());
    let fine = least.map_or_else(String::new, |room| match room.free() {
        u64::MAX => format!("free in {}: practically all", name(room)),
        free => format!("free in {}: {free} of {}", name(room), room.capacity),
    });
    Ok(Finding::of(problems, fine))
}

fn problem(room: &Room) -> Option<Condition> {
    // A pool for one pod is full by design.
    if room.capacity <= 1 {
        return None;
    }
    let kind = match room.free() {
        0 => Kind::PoolExhausted,
        free if free.saturating_mul(FEW) < room.capacity => Kind::PoolNearlyExhausted,
        _ => return None,
    };
    let wrong = match room.free() {
        0 => format!("{} is exhausted: all {} addresses are leased", name(room), room.capacity),
        free => format!("{} is nearly exhausted: {free} of {} addresses are free", name(room), room.capacity),
    };
    let condition = Condition::new(kind, format!("{} {}", room.network, room.family), wrong);
    Some(condition.decided_by_a_person(
        "podlan-node leases shows who has the addresses (a lease whose pod is gone is released by the agent or by \
         podlan-node doctor --fix); run fewer pods on this node, or give it a larger pod CIDR (in Kubernetes: \
         --node-cidr-mask-size of the controller manager; then drain the node, delete its Node object and restart its \
         kubelet)",
    ))
}

fn name(room: &Room) -> String {
    let subnets: Vec<String> = room.subnets.iter().map(ToString::to_string).collect();
    format!("the {} pool of {} ({}, {})", room.family, room.network, subnets.join(", "), room.file)
}

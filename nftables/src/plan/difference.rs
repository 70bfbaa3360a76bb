//! The steps that turn one set of subnets into another. Pure.
//!
//! Three laws hold for each step, and so for each moment between two: no two subnets overlap, for the kernel takes no
//! overlap; an address that is in both sets stays in; and a step has bounded size. Where one subnet replaces more than fit
//! into a step, or is replaced by them, it goes or comes half by half.

use ipnetwork::IpNetwork;

use crate::subnets::{Subnets, holds};
use crate::table::behind;

/// So many subnets at most come or go in one step, each way: a netlink attribute holds 64 KiB, and an IPv6 subnet takes 72
/// bytes.
pub(super) const STEP: usize = 400;

/// What changes at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) remove: Vec<IpNetwork>,
    pub(super) add: Vec<IpNetwork>,
}

impl Step {
    fn backwards(self) -> Self {
        Self { remove: self.add, add: self.remove }
    }

    fn size(&self) -> usize {
        self.remove.len().max(self.add.len())
    }
}

/// The steps from `held` to `wanted`, in order.
pub(super) fn difference(held: &Subnets, wanted: &Subnets) -> Vec<Step> {
    let removed: Vec<IpNetwork> = held.iter().filter(|subnet| !wanted.contains(*subnet)).collect();
    let added: Vec<IpNetwork> = wanted.iter().filter(|subnet| !held.contains(*subnet)).collect();
    let (mut removed, mut added) = (removed.as_slice(), added.as_slice());
    let mut steps = Vec::new();
    let mut open = Step::default();
    while let Some(group) = group(&mut removed, &mut added) {
        if open.remove.len() + group.remove.len() > STEP || open.add.len() + group.add.len() > STEP {
            steps.extend(Some(std::mem::take(&mut open)).filter(|step| step.size() > 0));
        }
        if group.size() <= STEP {
            open.remove.extend(group.remove);
            open.add.extend(group.add);
        } else {
            steps.extend(halved(group));
        }
    }
    steps.extend(Some(open).filter(|step| step.size() > 0));
    steps
}

/// Takes the next changes that belong together off the two lists: a subnet, and what lies in it of the other list.
fn group(removed: &mut &[IpNetwork], added: &mut &[IpNetwork]) -> Option<Step> {
    let order = |subnet: &IpNetwork| (subnet.network(), subnet.prefix());
    let widest = removed.first().into_iter().chain(added.first()).copied().min_by_key(order)?;
    Some(Step { remove: take(removed, widest), add: take(added, widest) })
}

/// Takes the subnets that lie in `widest` off the list, which begins with them.
fn take(list: &mut &[IpNetwork], widest: IpNetwork) -> Vec<IpNetwork> {
    let (taken, rest) = list.split_at(list.partition_point(|subnet| holds(widest, *subnet)));
    *list = rest;
    taken.to_vec()
}

/// The steps of a group that is too large for one.
fn halved(group: Step) -> Vec<Step> {
    let mut steps = Vec::new();
    match (group.remove.as_slice(), group.add.as_slice()) {
        ([wide], narrow) => narrow_down(*wide, narrow, &mut steps),
        (narrow, [wide]) => {
            narrow_down(*wide, narrow, &mut steps);
            steps = steps.into_iter().rev().map(Step::backwards).collect();
        }
        // Neither list has subnets that overlap, so one side is the one subnet that holds the others.
        _ => steps.push(group),
    }
    steps
}

/// The steps that replace `wide` by `narrow`, all of which lie in it.
fn narrow_down(wide: IpNetwork, narrow: &[IpNetwork], steps: &mut Vec<Step>) {
    if narrow.len() <= STEP {
        steps.push(Step { remove: vec![wide], add: narrow.to_vec() });
        return;
    }
    let mut around = wide;
    while let Some([low, high]) = halves(around) {
        let (below, above) = narrow.split_at(narrow.partition_point(|subnet| holds(low, *subnet)));
        // A half with nothing in it need not be there.
        match (below, above) {
            ([], _) => around = high,
            (_, []) => around = low,
            _ => {
                steps.push(Step { remove: vec![wide], add: vec![low, high] });
                narrow_down(low, below, steps);
                narrow_down(high, above, steps);
                return;
            }
        }
    }
}

fn halves(subnet: IpNetwork) -> Option<[IpNetwork; 2]> {
    let low = IpNetwork::new(subnet.network(), subnet.prefix() + 1).ok()?;
    let high = IpNetwork::new(behind(low)?, low.prefix()).ok()?;
    Some([low, high])
}

#[cfg(test)]
mod tests;

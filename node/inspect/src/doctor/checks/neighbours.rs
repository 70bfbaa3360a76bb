//! Has the kernel's neighbour table room for every node?

use std::collections::BTreeSet;

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent knows how many nodes there are")) };
    let nodes: BTreeSet<&str> = said.verdicts.iter().map(|line| line.node.as_str()).collect();
    let mut problems = Vec::new();
    let mut least = None;
    for (family, value) in ["ipv4", "ipv6"].iter().zip(&facts.settings.neighbours) {
        let Some(limit) = value.clone()?.and_then(|text| text.parse::<usize>().ok()) else { continue };
        least = Some(least.map_or(limit, |least: usize| least.min(limit)));
        // Each node is a neighbour, and so are other hosts of the segment.
        if nodes.len() * 5 / 4 > limit {
            let room = (nodes.len() * 4).next_power_of_two();
            let setting = format!("net.{family}.neigh.default.gc_thresh");
            let settings = format!("{setting}3={room} {setting}2={} {setting}1={}", room / 2, room / 4);
            let problem = Condition::new(
                Kind::NeighbourTableSmall,
                *family,
                format!("{setting}3 is {limit}, and the cluster has {} nodes", nodes.len()),
            );
            problems.push(
                problem
                    .because(
                        "when the neighbour table is full, packets to nodes that are not in it are dropped \
                         (\"neighbour table overflow\" in dmesg)",
                    )
                    .decided_by_a_person(format!(
                        "sysctl -w {settings}; to make it permanent, write these settings into /etc/sysctl.d/90-podlan.conf, \
                         one a line"
                    ))
                    .by_command(format!("sysctl -w {settings}")),
            );
        }
    }
    Ok(match least {
        None => Finding::moot("the limits belong to the machine and are not visible in this network namespace"),
        Some(least) => Finding::of(problems, format!("room for {least} neighbours, {} nodes", nodes.len())),
    })
}

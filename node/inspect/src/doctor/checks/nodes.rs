//! Are the nodes consistent? Two nodes with one pod CIDR, a CIDR that covers a node, a node that cannot be read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::{AgentSaid, Facts};
use routes::Target;
use state::VerdictLine;

/// Reasons of a verdict that are mistakes of configuration, not facts of the network.
const FAULTS: [&str; 9] = [
    "duplicate-cidr",
    "overlaps-own-cidr",
    "overlaps-local",
    "covers-node",
    "address-in-pod-cidr",
    "own-address",
    "duplicate-name",
    "malformed",
    "not-listed",
];

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent has a list of nodes")) };
    let at_fault = said.verdicts.iter().filter(|line| FAULTS.contains(&line.reason.as_str()));
    let mut problems: Vec<Condition> = at_fault.map(problem).collect();
    problems.extend(duplicates(said));
    let mut names: Vec<&str> = said.verdicts.iter().map(|line| line.node.as_str()).collect();
    names.dedup();
    Ok(Finding::of(problems, format!("{} nodes, each with pod CIDRs of its own", names.len())))
}

/// Nodes that are reached at one address. A router is the next hop of many.
fn duplicates(said: &AgentSaid) -> Vec<Condition> {
    let mut at: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for line in said.verdicts.iter().filter(|line| ["direct", "onlink"].contains(&line.verdict.as_str())) {
        let Some(Target::Hop { via, .. }) = line.wanted else { continue };
        let nodes = at.entry(via).or_default();
        if !nodes.contains(&line.node) {
            nodes.push(line.node.clone());
        }
    }
    let twice = at.into_iter().filter(|(_, nodes)| nodes.len() > 1);
    twice
        .map(|(address, nodes)| {
            Condition::new(
                Kind::DuplicateAddress,
                address.to_string(),
                format!("{} have the same InternalIP {address}", nodes.join(" and ")),
            )
            .decided_by_a_person(
                "give each node an InternalIP of its own (kubelet --node-ip, kubectl get nodes -o wide, or the nodes file)",
            )
        })
        .collect()
}

fn problem(line: &VerdictLine) -> Condition {
    let (kind, why) = match line.reason.as_str() {
        "duplicate-cidr" | "overlaps-own-cidr" => {
            (Kind::NodeConflict, "two nodes give their pods the same addresses: traffic reaches one of them, at random")
        }
        "not-listed" => (
            Kind::NodeNotListed,
            "its pods are reached by its last good entry; no other node may have that address or CIDR",
        ),
        "malformed" => (Kind::NodeMalformed, "what cannot be read is ignored, and its last good routes stay"),
        _ => (
            Kind::NodeUnusable,
            "the route would capture traffic that is not for pods, so there is none: those pods are unreachable",
        ),
    };
    let cidr = if line.cidr.is_empty() { String::new() } else { format!(" {}", line.cidr) };
    Condition::new(kind, format!("{}{cidr}", line.node), format!("{}{cidr}: {}", line.node, line.text))
        .because(why)
        .decided_by_a_person(
            "give that node a CIDR and an address of its own in the list of nodes (kubectl get nodes -o yaml, or the \
             nodes file)",
        )
}

//! Are the nodes consistent? Two nodes with one pod CIDR, a CIDR that covers a node, a node that cannot be read.

use std::collections::{BTreeMap, BTreeSet};
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

/// Reasons of a verdict that are in the way of packets to a listed node.
const NO_WAY: [&str; 4] = ["no-way", "overlaps", "no-host-address", "next-hop-unknown"];

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent has a list of nodes")) };
    let at_fault = said.verdicts.iter().filter(|line| FAULTS.contains(&&*line.reason));
    let mut problems: Vec<Condition> = at_fault.map(problem).collect();
    problems.extend(duplicates(said));
    let in_the_way = said.verdicts.iter().filter(|line| NO_WAY.contains(&&*line.reason));
    problems.extend(in_the_way.map(|line| no_way(line, facts)));
    let names: BTreeSet<&str> = said.verdicts.iter().map(|line| line.node.as_str()).collect();
    Ok(Finding::of(problems, format!("{} nodes, each with pod CIDRs of its own", names.len())))
}

/// The kernel reaches that node's address in a way that no route to its pods can follow.
fn no_way(line: &VerdictLine, facts: &Facts) -> Condition {
    let wrong = format!("{} {} has no route: {}", line.node, line.cidr, line.text);
    let condition = Condition::new(Kind::NodeUnusable, format!("{} {}", line.node, line.cidr), wrong)
        .because("there is no route to that node: its pods are unreachable");
    let address = line.text.split_whitespace().find_map(|word| word.parse::<IpAddr>().ok());
    let in_the_way = address.and_then(|address| {
        let kernel = facts.kernel().ok()?;
        let holds = kernel.routes.iter().filter(|route| route.destination.contains(address));
        let best = holds.min_by_key(|route| (u8::MAX - route.destination.prefix(), route.metric))?;
        Some((kernel, best)).filter(|(_, route)| route.kind.leads_nowhere())
    });
    let Some((kernel, route)) = in_the_way else {
        return condition.decided_by_a_person(
            "see how the kernel reaches that node's address (ip route get ADDRESS), and correct that route or address",
        );
    };
    let cure = format!("the route `{}` is in the way: find who made it and why, and remove it", kernel.shown(route));
    // Somebody may mean to keep that node away: no command is offered.
    condition.decided_by_a_person(cure)
}

/// Nodes that are reached at one address. A router is the next hop of many.
fn duplicates(said: &AgentSaid) -> Vec<Condition> {
    let mut at: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for line in said.verdicts.iter().filter(|line| ["direct", "onlink"].contains(&&*line.verdict)) {
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
    let kind = match &*line.reason {
        "duplicate-cidr" | "overlaps-own-cidr" => Kind::NodeConflict,
        "not-listed" => Kind::NodeNotListed,
        "malformed" => Kind::NodeMalformed,
        _ => Kind::NodeUnusable,
    };
    let cidr = if line.cidr.is_empty() { String::new() } else { format!(" {}", line.cidr) };
    let condition = Condition::new(kind, format!("{}{cidr}", line.node), format!("{}{cidr}: {}", line.node, line.text));
    match kind {
        Kind::NodeUnusable => condition.because(
            "the route would capture traffic that is not for pods, so there is none: those pods are unreachable",
        ),
        _ => condition,
    }
}

//! Are the nodes consistent? Two nodes with one pod CIDR, a CIDR that covers a node, a node that cannot be read.

use super::super::finding::{Finding, Outcome, Problem};
use facts::Facts;
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
    let problems: Vec<Problem> = at_fault.map(problem).collect();
    let mut names: Vec<&str> = said.verdicts.iter().map(|line| line.node.as_str()).collect();
    names.dedup();
    Ok(Finding::of(problems, format!("{} nodes, each with pod CIDRs of its own", names.len())))
}

fn problem(line: &VerdictLine) -> Problem {
    let why = match line.reason.as_str() {
        "duplicate-cidr" | "overlaps-own-cidr" => {
            "two nodes give their pods the same addresses: traffic reaches one of them, at random"
        }
        "not-listed" => "its pods are reached by its last good entry; no other node may have that address or CIDR",
        "malformed" => "what cannot be read is ignored, and its last good routes stay",
        _ => "the route would capture traffic that is not for pods, so there is none: those pods are unreachable",
    };
    let cidr = if line.cidr.is_empty() { String::new() } else { format!(" {}", line.cidr) };
    Problem::new(
        format!("{}{cidr}: {}", line.node, line.text),
        why,
        "give that node a CIDR and an address of its own in the list of nodes (kubectl get nodes -o yaml, or the \
         nodes file)",
    )
}

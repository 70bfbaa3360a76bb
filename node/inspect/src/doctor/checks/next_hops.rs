//! Are the next hops there: the links to other nodes, and the neighbours behind them?

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::finding::{Finding, Outcome, some};
use conditions::{Condition, Kind};
use facts::{AgentSaid, Facts, Kernel};
use netlink::Unanswered;
use routes::Target;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent knows the other nodes")) };
    let kernel = facts.kernel()?;
    let mut problems = down(said, kernel);
    problems.extend(without_carrier(said, kernel));
    // Without the link nobody answers.
    let usable = |index: u32| kernel.links.iter().any(|link| link.index == index && link.up && link.carrier);
    let silent = kernel.unanswered.iter().filter(|entry| usable(entry.device));
    let mut silent: BTreeMap<(IpAddr, u32), (&Unanswered, Vec<&str>)> =
        silent.map(|entry| ((entry.address, entry.device), (entry, Vec::new()))).collect();
    let mut all = Vec::new();
    for (node, via, link) in hops(said) {
        all.push((via, link));
        if let Some((_, nodes)) = silent.get_mut(&(via, link))
            && !nodes.contains(&node)
        {
            nodes.push(node);
        }
    }
    let behind = silent.into_values().filter(|(_, nodes)| !nodes.is_empty());
    problems.extend(behind.map(|(entry, nodes)| condition(entry, &nodes, &kernel.link_name(entry.device))));
    all.sort_unstable();
    all.dedup();
    if all.is_empty() && problems.is_empty() {
        return Ok(Finding::moot("no route to another node is wanted"));
    }
    Ok(Finding::of(problems, format!("{}, none is known to be silent", all.len())))
}

/// The next hops of the wanted routes, with the names of the nodes behind them.
fn hops(said: &AgentSaid) -> impl Iterator<Item = (&str, IpAddr, u32)> {
    said.verdicts.iter().filter_map(|line| match line.wanted? {
        Target::Hop { via, link, .. } => Some((line.node.as_str(), via, link)),
        Target::Unreachable | Target::Foreign => None,
    })
}

fn condition(entry: &Unanswered, nodes: &[&str], link: &str) -> Condition {
    let state = if entry.failed { "FAILED" } else { "INCOMPLETE" };
    let (via, v6) = (entry.address, if entry.address.is_ipv6() { "-6 " } else { "" });
    Condition::new(
        Kind::NextHopSilent,
        nodes.join(", "),
        format!("{via}, the next hop to {}, does not answer on {link}: its neighbour entry is {state}", some(nodes)),
    )
    .decided_by_a_person(format!(
        "see whether that node is up, has this address, and answers {} on that segment; ip {v6}neigh show {via} dev \
         {link} shows the entry, and the kernel asks again with the next packet",
        if via.is_ipv6() { "neighbour solicitations" } else { "ARP" },
    ))
}

/// Each name once, wherever it stands among the verdicts.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    all.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

/// Links that are down, by the verdicts on the nodes behind them.
fn down(said: &AgentSaid, kernel: &Kernel) -> Vec<Condition> {
    let lines: Vec<_> = said.verdicts.iter().filter(|line| line.reason == "link-down").collect();
    let mut problems = Vec::new();
    for link in kernel.links.iter().filter(|link| !link.up) {
        let behind = lines.iter().filter(|line| line.text.contains(&format!("{}, which is down", link.name)));
        let nodes = names(behind.map(|line| line.node.as_str()));
        if !nodes.is_empty() {
            problems.push(
                Condition::new(
                    Kind::UplinkDown,
                    link.name.as_str(),
                    format!("{} is down, and {} can be reached by it only", link.name, some(&nodes)),
                )
                .cured_by(up(said, kernel, &link.name)),
            );
        }
    }
    problems
}

/// Sets the link up. IPv6 addresses go with a link: this node's InternalIP is put back, in a subnet of /64 (RFC 4291).
fn up(said: &AgentSaid, kernel: &Kernel, link: &str) -> String {
    let lost = said.state.addresses.iter().filter(|address| address.is_ipv6() && !kernel.here.is_own(**address));
    let back = lost.map(|address| format!("ip -6 addr replace {address}/64 dev {link}"));
    std::iter::once(format!("ip link set {link} up")).chain(back).collect::<Vec<_>>().join(" && ")
}

fn without_carrier(said: &AgentSaid, kernel: &Kernel) -> Vec<Condition> {
    let mut problems = Vec::new();
    for link in kernel.links.iter().filter(|link| link.up && !link.carrier) {
        let nodes = names(hops(said).filter(|(.., by)| *by == link.index).map(|(node, ..)| node));
        if !nodes.is_empty() {
            problems.push(
                Condition::new(
                    Kind::UplinkDown,
                    link.name.as_str(),
                    format!("{} has no carrier, and {} is reached by it", link.name, some(&nodes)),
                )
                .decided_by_a_person("check its cable, switch or virtual switch, or the other end of the pair"),
            );
        }
    }
    problems
}

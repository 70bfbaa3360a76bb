//! Are the agent's packet filter rules in place: that pods send with their own addresses, and that the node answers no
//! ARP for their gateway?

use super::super::finding::{Finding, Outcome, Problem};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else {
        return Ok(Finding::moot("the agent installs these rules, and no agent runs here"));
    };
    let rules = facts.packet_filter.as_ref().map_err(Clone::clone)?;
    let missing = rules.iter().filter(|(_, there)| !there).map(|(rule, _)| {
        let why = match *rule {
            "source" => "a pod can send with the address of another pod or node",
            _ => "the node answers ARP requests of its LAN for 169.254.1.1, the gateway of every pod",
        };
        let reason = said.state.warnings.iter().find(|warning| warning.contains("rule is missing"));
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        Problem::new(
            format!("the agent's packet filter rule `{rule}` is missing or changed{reason}"),
            why,
            "a running agent restores it at once: see the check `agent`; the kernel needs nf_tables and nft_fib \
             (modprobe nft_fib_inet); if it disappears again, find the program that flushes rules: nft monitor",
        )
    });
    Ok(Finding::of(
        missing.collect(),
        "pods send with their own addresses only, and the node answers only pods for \
                                       their gateway",
    ))
}

//! Are the agent's packet filter rules in place: that pods send with their own addresses, and that the node answers no ARP
//! for their gateway?

use super::super::finding::{Finding, Outcome, Problem};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else {
        return Ok(Finding::moot("the agent puts them in place, and none runs here"));
    };
    let rules = facts.packet_filter.as_ref().map_err(Clone::clone)?;
    let missing = rules.iter().filter(|(_, there)| !there).map(|(rule, _)| {
        let why = match *rule {
            "source" => "a pod may send with the address of another pod or node, and be taken for it",
            _ => "the node answers its LAN's questions for 169.254.1.1, the gateway that every pod has",
        };
        let told = said.state.warnings.iter().find(|warning| warning.contains("rule is missing"));
        let told = told.map_or_else(String::new, |told| format!(" ({told})"));
        Problem::new(
            format!("the packet filter rule `{rule}` of the agent is not as it should be{told}"),
            why,
            "a running agent puts it back at once: see the check `agent`; a kernel without it needs nf_tables and nft_fib \
             (modprobe nft_fib_inet); if it goes again, find who flushes rules: nft monitor",
        )
    });
    Ok(Finding::of(missing.collect(), "pods send with their own addresses only, and nobody answers for their gateway"))
}

//! Are podlan's packet filter rules in place: that pods send with their own addresses, that the node answers no ARP for
//! their gateway, and the host ports of pods?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;
use facts::parts::Part;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else {
        return Ok(Finding::moot("the agent installs these rules, and no agent runs here"));
    };
    if facts.lacks(Part::NfTables) {
        return Ok(Finding::moot("the kernel lacks nf_tables: see the check `kernel`"));
    }
    let rules = facts.packet_filter.as_ref().map_err(Clone::clone)?;
    // What the check `kernel` says is not said twice.
    let is_impossible = |rule: &str| match rule {
        "source" => facts.lacks(Part::NftFib),
        "ARP guard" => facts.lacks(Part::NftArp),
        _ => false,
    };
    let missing = rules.iter().filter(|(rule, there)| !there && !is_impossible(rule)).map(|(rule, _)| {
        let (kind, why) = match *rule {
            "source" => (Kind::SourceRuleMissing, "a pod can send with the address of another pod or node"),
            "host ports" => (Kind::HostPortsMissing, "nobody reaches those pods by the ports of this node"),
            _ => (
                Kind::ArpGuardMissing,
                "the node answers ARP requests of its LAN for 169.254.1.1, the gateway of every pod",
            ),
        };
        let reason = said.state.warnings.iter().find(|warning| warning.contains("rule is missing"));
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        Condition::new(kind, "", format!("the agent's packet filter rule `{rule}` is missing or changed{reason}"))
            .because(why)
            .decided_by_a_person(
                "a running agent restores it at once: see the check `agent`; the kernel needs nf_tables and nft_fib \
                 (modprobe nft_fib_inet); if it disappears again, find the program that flushes rules: nft monitor",
            )
    });
    let missing: Vec<Condition> = missing.collect();
    if missing.is_empty() && rules.iter().any(|(_, there)| !there) {
        return Ok(Finding::moot("the kernel lacks what a rule needs: see the check `kernel`"));
    }
    Ok(Finding::of(
        missing,
        "pods send with their own addresses only, and the node answers only pods for their gateway",
    ))
}

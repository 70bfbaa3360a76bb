//! The status for people: the agent, what is wrong, the peers.

use std::collections::BTreeSet;

use super::peers::{Peer, counts, troubled};
use super::{Detail, Status};
use crate::table::table;
use state::Clocks;
use state::ago::{ago, for_how_long, shown};
use state::paths::Paths;

/// Up to this many pod CIDRs each has a line.
const FEW: usize = 16;

/// How many peers of one cause have a line in a summary.
const NAMED: usize = 10;

pub(super) fn text(status: &Status<'_>, detail: Detail, now: Clocks) -> String {
    let mut text = agent(status, now) + &conditions(status, now) + "\n";
    let few = status.peers.len() <= FEW;
    if !few {
        text += &summary(status);
    }
    if few || detail == Detail::All {
        let rows: Vec<[String; 4]> = status.peers.iter().map(Peer::row).collect();
        text += &table(["NODE", "POD CIDR", "FOUND", "WANTED"], &rows);
    }
    let named = if detail == Detail::All { status.unwanted.len() } else { NAMED };
    text.extend(status.unwanted.iter().take(named).map(|route| format!("found, but not wanted: {route}\n")));
    if let Some(more @ 1..) = status.unwanted.len().checked_sub(named) {
        text += &format!("and {more} more routes that are not wanted: podlan-node status --all\n");
    }
    text
}

fn agent(status: &Status<'_>, now: Clocks) -> String {
    let state = &status.state;
    let ready = match (status.stale, state.ready) {
        (true, _) if !state.is_stale(now) => format!(
            "unknown: the agent (pid {}) has ended: nothing holds node.lock in its run directory; start it again, and \
             read the end of its log",
            state.pid
        ),
        (true, _) => format!(
            "unknown: the agent (pid {}) has not updated its state for more than {} s: it hangs or is stopped; \
             podlan-node doctor says how to restart it",
            state.pid, state.stale_after
        ),
        (false, true) => "yes".to_owned(),
        (false, false) => "no".to_owned(),
    };
    let mut lines =
        vec![format!("node      {} (pod CIDRs: {})", state.node, list(&state.pod_cidrs)), format!("ready     {ready}")];
    lines.extend(state.reasons.iter().map(|reason| format!("          {reason}")));
    if let Some(why) = status.unanswered.as_ref().filter(|_| !status.stale) {
        let age = shown(now.boot.saturating_sub(state.boot_time));
        lines.push(format!("          as of {age} ago: the agent runs, but does not answer ({why}); read its log"));
    }
    lines.push(format!("source    {}, last read {}", state.source.name, ago(state.source.last_sync, now.unix)));
    match (state.source.error.as_str(), state.source.last_sync) {
        ("", _) => {}
        (error, 0) => lines.push(format!("          no list of nodes has been read yet: {error}")),
        (error, _) => lines.push(format!("          the last good list stays in force: {error}")),
    }
    for (family, counts) in [("IPv4", &state.v4), ("IPv6", &state.v6)] {
        let (installed, desired, failed) = (counts.installed, counts.desired, counts.failed);
        lines.push(format!("routes    {family}: {installed} of {desired} installed, {failed} failed"));
    }
    if let Some(why) = &status.blind {
        lines.push(format!("found     unknown: {why}; run podlan-node status as root in the node's network namespace"));
    }
    let masquerade = match state.masquerade.as_str() {
        "unknown" => "unknown until the first list of nodes has been read",
        known => known,
    };
    lines.push(format!("egress    masquerade {masquerade}"));
    lines.extend(state.paths.iter().flat_map(|probed| paths(probed, now)));
    if let Some(held) = &state.held {
        lines.push(format!(
            "held      a list of nodes that would withdraw {} of {} peers' routes (release-withdrawal applies it)",
            held.withdraws, held.of
        ));
    }
    // What a condition says has no second line.
    let warnings = state.warnings.iter().filter(|warning| !state.repeated_warnings.contains(warning));
    lines.extend(warnings.map(|warning| format!("warning   {warning}")));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What the path probes found: counts, and the worst by name.
fn paths(paths: &Paths, now: Clocks) -> Vec<String> {
    if !paths.probed {
        return vec!["paths     not probed (--probe off): whether packets pass between pods is unknown".to_owned()];
    }
    let family = |family: &str| if family == "ipv6" { "IPv6" } else { "IPv4" };
    let mut lines = Vec::new();
    for (name, counts) in &paths.counts {
        let counts = counts.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<String> = counts.map(|(state, count)| format!("{count} {state}")).collect();
        lines.push(format!(
            "paths     {}: {}",
            family(name),
            if counts.is_empty() { "none yet".into() } else { counts.join(", ") }
        ));
    }
    lines.extend(paths.not_probed.iter().map(|(name, why)| format!("paths     {}: not probed: {why}", family(name))));
    for path in paths.worst.iter().take(NAMED) {
        let since = for_how_long(path.since, now.unix).map(|age| format!(", for {age}")).unwrap_or_default();
        lines.push(format!("          {} {} ({}{since}): {}", path.node, family(&path.family), path.state, path.text));
    }
    if let Some(more @ 1..) = paths.worst.len().checked_sub(NAMED) {
        lines.push(format!("          and at least {more} more: podlan-node status --json"));
    }
    lines
}

/// What is wrong, the worst first, each with what to do.
fn conditions(status: &Status<'_>, now: Clocks) -> String {
    let mut all: Vec<_> = status.state.conditions.iter().collect();
    all.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
    let mut text = String::new();
    for condition in all {
        let since = for_how_long(condition.since, now.unix).map(|age| format!(", for {age}")).unwrap_or_default();
        let severity = condition.severity.name();
        text += &format!("WRONG     {} ({severity}{since}): {}\n", condition.kind.name(), condition.wrong);
        text += &format!("          why: {}\n          fix: {}\n", condition.why, condition.cure);
    }
    text.extend(status.state.unknown.iter().map(|unknown| format!("unknown   {}: {}\n", unknown.check, unknown.why)));
    text
}

/// How many peers there are of each verdict, and those that are not as wanted.
fn summary(status: &Status<'_>) -> String {
    let nodes: BTreeSet<&str> = status.peers.iter().map(|peer| peer.line.node.as_str()).collect();
    let rows: Vec<[String; 4]> = counts(&status.peers)
        .into_iter()
        .map(|(verdict, [v4, v6, without])| [verdict.to_owned(), v4.to_string(), v6.to_string(), without.to_string()])
        .collect();
    let mut text = format!("nodes     {}\n\n{}\n", nodes.len(), table(["VERDICT", "IPV4", "IPV6", "NO CIDR"], &rows));
    let groups = troubled(&status.peers);
    if groups.is_empty() {
        text += match status.blind {
            Some(_) => "whether the routes are as wanted is unknown\n",
            None => "each route is as wanted; podlan-node status --all shows them\n",
        };
        return text;
    }
    let named: Vec<[String; 4]> =
        groups.values().flat_map(|group| group.iter().take(NAMED)).map(|peer| peer.row()).collect();
    text += &table(["NODE", "POD CIDR", "FOUND", "WANTED"], &named);
    for (trouble, group) in groups.iter().filter(|(_, group)| group.len() > NAMED) {
        text += &format!("and {} more ({trouble}): podlan-node status --all\n", group.len() - NAMED);
    }
    text
}

fn list(texts: &[String]) -> String {
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

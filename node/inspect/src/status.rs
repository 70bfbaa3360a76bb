//! The agent's last state and its verdict on each peer, compared with the kernel's routes, as text and as JSON. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::table::table;
use routes::compare::{InKernel, Shown, in_kernel, unwanted};
use routes::here::Here;
use routes::{Key, Routes};
use state::{State, VerdictLine};

/// What `podlan-node status` shows; serialized it is the output of `--json`.
#[derive(Serialize)]
pub struct Status<'a> {
    #[serde(flatten)]
    state: &'a State,
    stale: bool,
    peers: Vec<Peer<'a>>,
    /// Routes of podlan that no verdict wants: of a withdrawal that is held, or of an agent that no longer runs.
    unwanted: Vec<String>,
}

/// A verdict, and the kernel's route in its place.
#[derive(Serialize)]
struct Peer<'a> {
    #[serde(flatten)]
    line: &'a VerdictLine,
    /// `as wanted`, `missing`, `missing, held by …`, `via …`; `unknown: …` when the kernel could not be asked; "" where
    /// no route is wanted.
    found: String,
}

/// The routes that the kernel has.
pub struct Found {
    /// This node as the route planner sees it.
    pub here: Here,
    /// podlan's routes.
    pub routes: Routes,
    /// Foreign routes under the keys of desired routes that are missing, as text.
    pub holders: BTreeMap<Key, String>,
}

impl Found {
    fn find(&self, line: &VerdictLine) -> String {
        let Some((key, target)) = line.route() else { return String::new() };
        match (in_kernel(&key, &target, &self.routes), self.holders.get(&key)) {
            (InKernel::AsWanted, _) => "as wanted".to_owned(),
            (InKernel::Missing, None) => "missing".to_owned(),
            (InKernel::Missing, Some(holder)) => format!("missing, held by {holder}"),
            (InKernel::Otherwise(target), _) => Shown(target, &self.here).to_string(),
        }
    }

    fn unwanted(&self, lines: &[VerdictLine]) -> Vec<String> {
        let wanted = lines.iter().filter_map(VerdictLine::route).map(|(key, _)| key).collect();
        let unwanted = unwanted(&wanted, &self.routes);
        unwanted.iter().map(|(key, target)| format!("{} {}", key.destination, Shown(*target, &self.here))).collect()
    }
}

impl<'a> Status<'a> {
    /// Compares the agent's state and verdicts with what was found in the kernel, or could not be.
    pub fn new(state: &'a State, stale: bool, lines: &'a [VerdictLine], found: &Result<Found, netlink::Error>) -> Self {
        let find = |line| match found {
            Ok(found) => found.find(line),
            Err(error) => format!("unknown: failed to {error}"),
        };
        let peers = lines.iter().map(|line| Peer { line, found: find(line) }).collect();
        let unwanted = found.as_ref().map_or_else(|_| Vec::new(), |found| found.unwanted(lines));
        Self { state, stale, peers, unwanted }
    }

    /// The status for people.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.agent(), self.routes())
    }

    fn agent(&self) -> String {
        let state = self.state;
        let ready = match (self.stale, state.ready) {
            (true, _) => "unknown: the agent has not updated its state for a while",
            (false, true) => "yes",
            (false, false) => "no",
        };
        let mut lines = vec![
            format!("node      {} (pod CIDRs: {})", state.node, list(&state.pod_cidrs)),
            format!("ready     {ready}"),
        ];
        lines.extend(state.reasons.iter().map(|reason| format!("          {reason}")));
        lines.push(format!("source    {}", state.source.name));
        if !state.source.error.is_empty() {
            lines.push(format!("          the last good list stays in force: {}", state.source.error));
        }
        for (family, counts) in [("IPv4", &state.v4), ("IPv6", &state.v6)] {
            let (installed, desired, failed) = (counts.installed, counts.desired, counts.failed);
            lines.push(format!("routes    {family}: {installed} of {desired} installed, {failed} failed"));
        }
        lines.push(format!("egress    masquerade {}", state.masquerade));
        if let Some(held) = &state.held {
            lines.push(format!(
                "held      a list of nodes that would withdraw {} of {} peers' routes (release-withdrawal applies it)",
                held.withdraws, held.of
            ));
        }
        lines.extend(state.warnings.iter().map(|warning| format!("warning   {warning}")));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Each peer's desired route and the one that was found.
    fn routes(&self) -> String {
        let row =
            |Peer { line, found }: &Peer<'_>| [line.node.clone(), line.cidr.clone(), found.clone(), line.text.clone()];
        let rows: Vec<[String; 4]> = self.peers.iter().map(row).collect();
        let unwanted = self.unwanted.iter().map(|route| format!("found, but not wanted: {route}\n"));
        [table(["NODE", "POD CIDR", "FOUND", "WANTED"], &rows)].into_iter().chain(unwanted).collect()
    }
}

fn list(texts: &[String]) -> String {
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests;

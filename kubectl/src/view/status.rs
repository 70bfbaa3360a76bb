//! The agents' states of all nodes: a summary, what is wrong, and a line for each node of a small cluster. Pure.

use std::collections::BTreeMap;

use conditions::{Condition, Severity};
use inspect::status::{Peer, Status};
use inspect::table::table;
use serde::Serialize;
use state::State;

use crate::cluster::{Answers, Head, code, names};
use crate::view::problems::{self, Group, groups};

/// Up to this many nodes each has a line.
const FEW: usize = 32;

/// What is kept of a node's answer: that of a large cluster has a verdict on each of its nodes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeStatus {
    /// Its node.json.
    pub(crate) state: State,
    /// Whether that is too old to say anything.
    pub(crate) stale: bool,
    /// The verdicts on other nodes that are not as wanted.
    pub(crate) peers: Vec<Peer<'static>>,
    /// Routes that no verdict wants.
    pub(crate) unwanted: Vec<String>,
    /// Why the agent did not answer, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unanswered: Option<String>,
    /// The nodes to which it has a route without a router, by their place in the list of nodes.
    #[serde(skip)]
    pub(crate) direct: Vec<usize>,
}

/// The states of all nodes.
#[derive(Debug, Serialize)]
pub(crate) struct Statuses<'a> {
    #[serde(flatten)]
    head: Head,
    /// All nodes are ready and none has a critical condition.
    ok: bool,
    nodes: Vec<Row<'a>>,
    #[serde(skip)]
    problems: Vec<Group<'a>>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    node: &'a str,
    #[serde(flatten)]
    status: &'a NodeStatus,
}

/// Keeps what is needed; `place` has the place of each node in the list of nodes.
pub(crate) fn keep(status: Status<'static>, place: impl Fn(&str) -> Option<usize>) -> NodeStatus {
    let Status { state, stale, peers, unwanted, unanswered, .. } = status;
    let is_direct = |peer: &&Peer<'_>| matches!(&*peer.line.verdict, "direct" | "onlink");
    let mut direct: Vec<usize> = peers.iter().filter(is_direct).filter_map(|peer| place(&peer.line.node)).collect();
    direct.dedup();
    let peers = peers.into_iter().filter(|peer| peer.trouble().is_some()).collect();
    NodeStatus { state: state.into_owned(), stale, peers, unwanted, unanswered, direct }
}

/// The report, by the answers.
pub(crate) fn statuses(answers: &Answers<NodeStatus>) -> Statuses<'_> {
    let nodes: Vec<Row<'_>> = answers.given().map(|(node, answer)| Row { node, status: &answer.value }).collect();
    let problems = groups(nodes.iter().flat_map(Row::conditions));
    let mut statuses = Statuses { head: answers.head(), ok: false, nodes, problems };
    statuses.ok = statuses.code() == 0;
    statuses
}

impl<'a> Row<'a> {
    fn conditions(&self) -> impl Iterator<Item = (&'a str, &'a Condition)> + use<'a> {
        let (node, status) = (self.node, self.status);
        status.state.conditions.iter().map(move |condition| (node, condition))
    }

    fn ready(&self) -> &'static str {
        match (self.status.stale, self.status.state.ready) {
            (true, _) => "stale",
            (false, true) => "yes",
            (false, false) => "no",
        }
    }

    fn cells(&self) -> [String; 6] {
        let state = &self.status.state;
        let (v4, v6) = (state.v4, state.v6);
        let counts = state.paths.iter().flat_map(|paths| paths.counts.values()).flatten();
        let mut words: BTreeMap<&str, usize> = BTreeMap::new();
        for (word, count) in counts.filter(|(_, count)| **count > 0) {
            *words.entry(word).or_default() += count;
        }
        let words: Vec<String> = words.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
        [
            self.node.to_owned(),
            self.ready().to_owned(),
            format!("{}/{}", v4.installed + v6.installed, v4.desired + v6.desired),
            if words.is_empty() { "-".to_owned() } else { words.join(", ") },
            problems::counts(&groups(self.conditions())),
            state.pod_cidrs.join(", "),
        ]
    }

    /// Why it is not ready.
    fn why(&self) -> String {
        match (self.status.stale, &self.status.unanswered, self.status.state.reasons.as_slice()) {
            (true, ..) => "its agent has ended or hangs: podlan-node status on that node says which".to_owned(),
            (false, Some(why), []) => format!("its agent runs and does not answer: {why}"),
            (false, _, reasons) => reasons.join("; "),
        }
    }
}

impl Statuses<'_> {
    /// The exit code: 1: a node is not ready or has a critical condition; 2: a node could not be asked; 0: neither.
    pub(crate) fn code(&self) -> u8 {
        let unready = self.nodes.iter().any(|row| row.ready() != "yes");
        code(unready || problems::has(&self.problems, Severity::Critical), self.head.is_incomplete())
    }

    /// The report for people at `now`.
    pub(crate) fn text(&self, all: bool, now: u64) -> String {
        let mut text = self.head.text();
        let ready = self.nodes.iter().filter(|row| row.ready() == "yes").count();
        text += &format!("ready     {ready} of {}\n", self.nodes.len());
        for (why, nodes) in self.unready() {
            text += &format!("NOT READY {}: {why}\n", names(&nodes));
        }
        for (family, counts) in [("IPv4", self.sum(|state| state.v4)), ("IPv6", self.sum(|state| state.v6))] {
            if let [desired, installed, failed] = counts
                && desired > 0
            {
                text += &format!("routes    {family}: {installed} of {desired} installed, {failed} failed\n");
            }
        }
        text += &format!("wrong     {}\n", problems::counts(&self.problems));
        text += &problems::text(&self.problems, all, now);
        for (what, nodes) in self.unknown() {
            text += &format!("unknown   {what} ({})\n", names(&nodes));
        }
        let shown = |row: &&Row<'_>| all || self.nodes.len() <= FEW || row.ready() != "yes";
        let rows: Vec<[String; 6]> = self.nodes.iter().filter(shown).map(Row::cells).collect();
        if !rows.is_empty() {
            text += &format!("\n{}", table(["NODE", "READY", "ROUTES", "PATHS", "CONDITIONS", "POD CIDRS"], &rows));
        }
        if rows.len() < self.nodes.len() {
            text += &format!("and {} more nodes (--all)\n", self.nodes.len() - rows.len());
        }
        text
    }

    fn unready(&self) -> BTreeMap<String, Vec<String>> {
        let mut unready: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in self.nodes.iter().filter(|row| row.ready() != "yes") {
            unready.entry(row.why()).or_default().push(row.node.to_owned());
        }
        unready
    }

    fn unknown(&self) -> BTreeMap<String, Vec<String>> {
        let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in &self.nodes {
            for check in &row.status.state.unknown {
                unknown.entry(format!("{}: {}", check.check, check.why)).or_default().push(row.node.to_owned());
            }
        }
        unknown
    }

    fn sum(&self, of: impl Fn(&State) -> state::RouteCounts) -> [usize; 3] {
        self.nodes.iter().map(|row| of(&row.status.state)).fold([0; 3], |[desired, installed, failed], counts| {
            [desired + counts.desired, installed + counts.installed, failed + counts.failed]
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! The cluster as one page of HTML: its data as a value, and the page around it. Pure.
//!
//! Every text of a node (names, reasons, cures) reaches the page as JSON inside a script element of a type that no browser runs,
//! with each character escaped that could end it; the page shows texts as texts only, never as HTML. It loads nothing.

use std::collections::HashMap;

use conditions::{Condition, Severity};
use ipnetwork::IpNetwork;
use serde::Serialize;
use state::RouteCounts;

use crate::cluster::{Answers, Head, code};
use crate::kubernetes::Site;
use crate::view::paths::{FAMILIES, is_bad, unlisted};
use crate::view::segments::segments;
use crate::view::status::NodeStatus;

/// The cluster, as the page shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Map<'a> {
    #[serde(flatten)]
    head: Head,
    /// No node has a critical condition or is not ready, and no path is bad.
    ok: bool,
    /// When it was made, in seconds since 1970.
    made: u64,
    /// The segments, each by the places of its nodes in `nodes`; the largest first.
    segments: Vec<Vec<usize>>,
    /// The nodes, sorted by name.
    nodes: Vec<Node<'a>>,
    /// The paths that are not open.
    paths: Vec<Path<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    name: &'a str,
    state: Health,
    #[serde(skip_serializing_if = "str::is_empty")]
    release: &'a str,
    /// Why it did not answer, or is not ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'a str>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<&'a Condition>,
    /// Verdicts on other nodes that are not as wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<Peer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v4: Option<RouteCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v6: Option<RouteCounts>,
    /// What the paths are that `paths` does not name, by family.
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    others: HashMap<&'static str, &'static str>,
    /// Why it does not probe, by family.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_probed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    median_rtt_micros: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Peer<'a> {
    node: &'a str,
    cidr: &'a str,
    text: &'a str,
    found: &'a str,
}

#[derive(Debug, Serialize)]
struct Path<'a> {
    from: usize,
    to: usize,
    family: &'a str,
    state: &'a str,
    bad: bool,
    text: &'a str,
    since: u64,
}

/// How a node stands, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Health {
    /// Its agent could not be asked.
    Silent,
    /// It is not ready, or has a critical condition.
    Critical,
    /// It has a condition of the severity warning.
    Warning,
    /// It has no such condition.
    Well,
    /// No agent is expected there.
    NotExpected,
}

/// How many peers a node names that are not as wanted.
const PEERS: usize = 20;

/// The map, by the answers; `made` in seconds since 1970.
pub(crate) fn map<'a>(sites: &'a [Site], answers: &'a Answers<NodeStatus>, made: u64) -> Map<'a> {
    let places: HashMap<&str, usize> =
        sites.iter().enumerate().map(|(place, site)| (site.node.as_str(), place)).collect();
    let said: HashMap<&str, &Result<_, String>> =
        answers.nodes.iter().map(|(node, answer)| (node.as_str(), answer)).collect();
    let (mut nodes, mut paths, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    for (place, site) in sites.iter().enumerate() {
        let node = match said.get(site.node.as_str()) {
            None => Node::without(site, Health::NotExpected, answers),
            Some(Err(why)) => Node { reasons: vec![why.as_str()], ..Node::without(site, Health::Silent, answers) },
            Some(Ok(answer)) => {
                direct.push((place, answer.value.direct.clone()));
                let lines =
                    answer.value.state.paths.iter().filter(|_| !answer.value.stale).flat_map(|paths| &paths.worst);
                paths.extend(lines.filter_map(|line| {
                    Some(Path {
                        from: place,
                        to: *places.get(line.node.as_str())?,
                        family: &line.family,
                        state: &line.state,
                        bad: is_bad(line),
                        text: &line.text,
                        since: line.since,
                    })
                }));
                Node::of(site, &answer.value, answer.release.as_deref().unwrap_or("unknown"))
            }
        };
        nodes.push(node);
    }
    paths.sort_by(|one, other| {
        let key = |path: &Path<'_>| (!path.bad, path.from, path.to);
        key(one).cmp(&key(other)).then_with(|| one.family.cmp(other.family))
    });
    let mut map = Map { head: answers.head(), ok: false, made, segments: segments(sites.len(), &direct), nodes, paths };
    map.ok = map.code() == 0;
    map
}

impl<'a> Node<'a> {
    fn without(site: &'a Site, state: Health, answers: &'a Answers<NodeStatus>) -> Self {
        let reason = answers.not_expected.iter().find(|(node, _)| *node == site.node);
        Self {
            name: &site.node,
            state,
            release: "",
            reasons: reason.map(|(_, why)| why.as_str()).into_iter().collect(),
            pod_cidrs: site.pod_cidrs.iter().map(IpNetwork::to_string).collect(),
            addresses: Vec::new(),
            conditions: Vec::new(),
            peers: Vec::new(),
            v4: None,
            v6: None,
            others: HashMap::new(),
            not_probed: Vec::new(),
            median_rtt_micros: None,
        }
    }

    fn of(site: &'a Site, status: &'a NodeStatus, release: &'a str) -> Self {
        let state = &status.state;
        let worst = state.conditions.iter().map(|condition| condition.severity).max();
        let health = match (status.stale || !state.ready, worst) {
            (true, _) | (false, Some(Severity::Critical)) => Health::Critical,
            (false, Some(Severity::Warning)) => Health::Warning,
            (false, Some(Severity::Info) | None) => Health::Well,
        };
        let mut conditions: Vec<&Condition> = state.conditions.iter().collect();
        conditions.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
        let stale = status.stale.then_some("its agent has ended or hangs: its state is too old to say anything");
        let reasons =
            stale.into_iter().chain(status.unanswered.as_deref()).chain(state.reasons.iter().map(String::as_str));
        let paths = state.paths.as_ref().filter(|_| !status.stale);
        let others = |paths| FAMILIES.map(|(family, _)| (family, unlisted(paths, family)));
        let others = paths.map(others).into_iter().flatten().filter(|(_, word)| !word.is_empty());
        let mut not_probed: Vec<String> =
            paths.iter().flat_map(|paths| &paths.not_probed).map(|(family, why)| format!("{family}: {why}")).collect();
        if paths.is_some_and(|paths| !paths.probed) {
            not_probed.push("--probe off".to_owned());
        }
        let peers = status.peers.iter().take(PEERS).map(|peer| Peer {
            node: &peer.line.node,
            cidr: &peer.line.cidr,
            text: &peer.line.text,
            found: &peer.found,
        });
        let counts = |counts: RouteCounts| (counts != RouteCounts::default()).then_some(counts);
        Self {
            name: &site.node,
            state: health,
            release,
            reasons: reasons.collect(),
            pod_cidrs: state.pod_cidrs.clone(),
            addresses: state.addresses.iter().map(ToString::to_string).collect(),
            conditions,
            peers: peers.collect(),
            v4: counts(state.v4),
            v6: counts(state.v6),
            others: others.collect(),
            not_probed,
            median_rtt_micros: paths.and_then(|paths| paths.median_rtt_micros),
        }
    }
}

impl Map<'_> {
    /// The exit code: 1: a node is not ready or has a critical condition, or a path is bad; 2: a node could not be asked; 0:
    /// neither.
    pub(crate) fn code(&self) -> u8 {
        let wrong =
            self.nodes.iter().any(|node| node.state == Health::Critical) || self.paths.iter().any(|path| path.bad);
        code(wrong, self.head.is_incomplete())
    }

    /// The page.
    pub(crate) fn html(&self) -> Result<String, serde_json::Error> {
        let data = escaped(&serde_json::to_string(self)?);
        let script = concat!(
            include_str!("../map/model.js"),
            include_str!("../map/graph.js"),
            include_str!("../map/matrix.js"),
            include_str!("../map/panel.js"),
        );
        // The data is put in last: nothing of it is searched for the marks of the others.
        let page = include_str!("../map/page.html");
        let page = page.replace("/*style*/", include_str!("../map/style.css")).replace("/*script*/", script);
        Ok(match page.split_once("/*data*/") {
            Some((before, after)) => format!("{before}{data}{after}"),
            None => page,
        })
    }
}

/// JSON in which no character can end the element that it is in, or begin another.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text += &format!("\\u{:04x}", u32::from(c)),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests;

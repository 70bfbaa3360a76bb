//! The answers of all nodes to one question, and what each report of them begins with: which releases answered, which nodes
//! could not be asked, and why. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::order::natural;

/// The answers of the nodes, sorted by name.
#[derive(Clone, Debug)]
pub(crate) struct Answers<T> {
    /// The release of this program.
    pub(crate) client: String,
    /// The answers, or why there is none.
    pub(crate) nodes: Vec<(String, Result<Answer<T>, String>)>,
    /// Nodes where no agent is expected, and why.
    pub(crate) not_expected: Vec<(String, String)>,
    /// Why the list of nodes could not be read; then nodes without an agent are not known.
    pub(crate) unlisted: Option<String>,
}

/// The answer of one node.
#[derive(Clone, Debug)]
pub(crate) struct Answer<T> {
    /// The release of its podlan-node; or why it is not known.
    pub(crate) release: Result<String, String>,
    /// What it said.
    pub(crate) value: T,
    /// What it printed beside it.
    pub(crate) complaint: Option<String>,
}

/// What every report has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    /// The release of this program.
    client: String,
    /// The releases that answered, each with its nodes.
    versions: Vec<Release>,
    /// Not all nodes and this program are of one release.
    skew: bool,
    /// The nodes that could not be asked.
    unreachable: Vec<Unreachable>,
    /// Nodes where no agent is expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_expected: Vec<Unreachable>,
    /// Why the list of nodes could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes_unreadable: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Release {
    release: String,
    nodes: Vec<String>,
}

/// A node that said nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Unreachable {
    node: String,
    why: String,
}

/// How many names a line has.
const NAMED: usize = 6;

impl<T> Answers<T> {
    /// The answers that came.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&str, &Answer<T>)> {
        self.nodes.iter().filter_map(|(node, answer)| Some((node.as_str(), answer.as_ref().ok()?)))
    }

    /// What every report has.
    pub(crate) fn head(&self) -> Head {
        let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (node, answer) in self.given() {
            let release = answer.release.as_deref().unwrap_or("unknown");
            versions.entry(release).or_default().push(node.to_owned());
        }
        let skew = versions.keys().any(|release| *release != self.client);
        let versions = versions.into_iter().map(|(release, nodes)| Release { release: release.to_owned(), nodes });
        let one = |(node, why): (&String, &String)| Unreachable { node: node.clone(), why: why.clone() };
        let silent = self.nodes.iter().filter_map(|(node, answer)| Some((node, answer.as_ref().err()?)));
        Head {
            client: self.client.clone(),
            versions: versions.collect(),
            skew,
            unreachable: silent.map(one).collect(),
            not_expected: self.not_expected.iter().map(|(node, why)| one((node, why))).collect(),
            nodes_unreadable: self.unlisted.clone(),
        }
    }
}

impl Head {
    /// Whether not every node could be asked.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.unreachable.is_empty() || self.nodes_unreadable.is_some() || self.asked() == 0
    }

    fn asked(&self) -> usize {
        self.versions.iter().map(|release| release.nodes.len()).sum()
    }

    /// The lines that every text begins with.
    pub(crate) fn text(&self) -> String {
        let all = self.asked() + self.unreachable.len();
        let mut text = format!("nodes     {} of {all} answered\n", self.asked());
        match &self.versions[..] {
            [] => {}
            [one] if !self.skew => text += &format!("release   {} everywhere, and of this program\n", one.release),
            all => {
                for Release { release, nodes } in all {
                    text += &format!("release   {release}: {}\n", names(nodes));
                }
                text += &format!("          this program is {}: what it does not know is left out\n", self.client);
            }
        }
        if let Some(why) = &self.nodes_unreadable {
            text += &format!("unknown   nodes without an agent, as the list of nodes cannot be read: {why}\n");
        }
        for (why, nodes) in by_reason(&self.unreachable) {
            text += &format!("NO ANSWER {}: {why}\n", names(&nodes));
        }
        for (why, nodes) in by_reason(&self.not_expected) {
            text += &format!("no agent  {}: {why}\n", names(&nodes));
        }
        text
    }
}

/// Nodes with the same reason have one line, the first node of each decides the order.
fn by_reason(silent: &[Unreachable]) -> Vec<(&str, Vec<String>)> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for Unreachable { node, why } in silent {
        let place = *places.entry(why).or_insert(reasons.len());
        match reasons.get_mut(place) {
            Some((_, nodes)) => nodes.push(node.clone()),
            None => reasons.push((why, vec![node.clone()])),
        }
    }
    reasons
}

/// The first few names of many.
pub(crate) fn names(nodes: &[String]) -> String {
    let mut nodes = nodes.to_vec();
    nodes.sort_by(|one, other| natural(one, other));
    match nodes.len().checked_sub(NAMED) {
        None | Some(0) => nodes.join(", "),
        Some(more) => format!("{} and {more} more nodes", nodes[..NAMED].join(", ")),
    }
}

/// The exit code of a report: 1 where something is wrong, else 2 where not everything could be asked, else 0.
pub(crate) fn code(is_wrong: bool, is_incomplete: bool) -> u8 {
    match (is_wrong, is_incomplete) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Answers of this release to a question.
    pub(crate) fn answers<T>(nodes: impl IntoIterator<Item = (&'static str, Result<T, &'static str>)>) -> Answers<T> {
        let answer = |value| Answer { release: Ok("0.1.0 (commit abc)".into()), value, complaint: None };
        let nodes = nodes.into_iter().map(|(node, said)| (node.to_owned(), said.map(answer).map_err(str::to_owned)));
        Answers {
            client: "0.1.0 (commit abc)".into(),
            nodes: nodes.collect(),
            not_expected: Vec::new(),
            unlisted: None,
        }
    }

    #[test]
    fn one_release_has_one_line_and_nothing_is_missing() {
        let head = answers([("node1", Ok(())), ("node2", Ok(()))]).head();
        let text = "nodes     2 of 2 answered\nrelease   0.1.0 (commit abc) everywhere, and of this program\n";
        assert_eq!((head.text().as_str(), head.is_incomplete(), head.skew), (text, false, false));
    }

    #[test]
    fn releases_that_differ_are_named_among_the_nodes_and_from_this_program() {
        let mut all = answers([("node1", Ok(())), ("node2", Ok(())), ("node3", Ok(()))]);
        all.nodes[1].1.as_mut().unwrap().release = Ok("0.2.0 (commit def)".into());
        all.nodes[2].1.as_mut().unwrap().release = Err("it does not run".into());
        let head = all.head();
        assert!(head.skew && !head.is_incomplete());
        for line in [
            "release   0.1.0 (commit abc): node1",
            "0.2.0 (commit def): node2",
            "unknown: node3",
            "this program is 0.1.0",
        ] {
            assert!(head.text().contains(line), "{line}:\n{}", head.text());
        }
        let mut newer = answers([("node1", Ok(()))]);
        newer.client = "0.2.0 (commit def)".into();
        assert!(newer.head().skew && newer.head().text().contains("this program is 0.2.0"));
    }

    #[test]
    fn nodes_that_do_not_answer_are_named_once_for_each_reason_and_the_code_says_it() {
        let mut all =
            answers([("node10", Err("down")), ("node2", Ok(())), ("node9", Err("down")), ("node3", Err("other"))]);
        all.not_expected = vec![("win".into(), "windows".into())];
        let head = all.head();
        let text = head.text();
        assert!(text.starts_with("nodes     1 of 4 answered\n"), "{text}");
        assert!(
            text.contains("NO ANSWER node9, node10: down\nNO ANSWER node3: other\nno agent  win: windows\n"),
            "{text}"
        );
        assert_eq!([code(false, head.is_incomplete()), code(true, true), code(false, false)], [2, 1, 0]);
    }

    #[test]
    fn a_cluster_in_which_nobody_answers_is_never_well() {
        assert!(answers::<()>([]).head().is_incomplete());
        let mut unlisted = answers([("node1", Ok(()))]);
        unlisted.unlisted = Some("forbidden".into());
        assert!(unlisted.head().is_incomplete() && unlisted.head().text().contains("forbidden"));
    }
}

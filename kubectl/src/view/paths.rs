//! The paths between all nodes, by the probes of the nodes that answered. A node names the paths that are not open, at most 20
//! of each verdict, and counts the others: a path that it does not name is open where only open ones are left. Pure.

use std::collections::{BTreeMap, HashMap};

use inspect::table::table;
use serde::Serialize;
use state::ago::for_how_long;
use state::paths::{BAD, PathLine, Paths};

use crate::cluster::{Answers, Head, code};
use crate::view::status::NodeStatus;

/// Up to this many nodes there is a matrix.
const FEW: usize = 16;

/// How many bad paths are shown, unless all are asked for.
const WORST: usize = 20;

/// The families, in their order, as node.json and people name them.
pub(crate) const FAMILIES: [(&str, &str); 2] = [("ipv4", "IPv4"), ("ipv6", "IPv6")];

/// Verdicts of paths that the nodes count and do not name.
const UNNAMED: [&str; 3] = ["open", "no-agent", "unknown"];

/// All paths.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Matrix<'a> {
    #[serde(flatten)]
    head: Head,
    /// No path is bad, and all were asked.
    ok: bool,
    /// The number of paths by family and verdict.
    counts: BTreeMap<&'a str, BTreeMap<&'a str, usize>>,
    /// The paths that are not open, as the node at their beginning says: the bad ones first, then by family and names.
    paths: Vec<Path<'a>>,
    /// Paths of which only the number is known: of more than 20 with one verdict a node names 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unnamed: Vec<Unnamed<'a>>,
    /// Nodes that do not probe a family, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_probed: Vec<NotProbed<'a>>,
    #[serde(skip)]
    nodes: Vec<Row<'a>>,
}

/// One path.
#[derive(Debug, Serialize)]
pub(crate) struct Path<'a> {
    /// The node that says so.
    pub(crate) from: &'a str,
    /// Whether it is one that packets of pods do not pass as they should.
    pub(crate) bad: bool,
    /// What it says.
    #[serde(flatten)]
    pub(crate) line: &'a PathLine,
}

#[derive(Debug, Serialize)]
struct Unnamed<'a> {
    from: &'a str,
    family: &'a str,
    state: &'a str,
    count: usize,
}

#[derive(Debug, Serialize)]
struct NotProbed<'a> {
    node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'a str>,
    why: &'a str,
}

/// A row of the matrix: the node, and what it says, if it does.
#[derive(Debug)]
struct Row<'a> {
    node: &'a str,
    paths: Option<&'a Paths>,
}

/// What a node that does not name a path says of it, by what is left in its counts.
pub(crate) fn unlisted(paths: &Paths, family: &str) -> &'static str {
    let Some(counts) = paths.counts.get(family) else { return "" };
    let has = |word: &str| counts.get(word).copied().unwrap_or_default() > 0;
    let overflows = counts.iter().any(|(word, count)| over(paths, family, word, *count) > 0);
    match (overflows, has("unknown"), has("no-agent"), has("open")) {
        (true, ..) => "not-named",
        (false, true, ..) => "unknown",
        (false, false, true, false) => "no-agent",
        (false, false, _, true) => "open",
        (false, false, false, false) => "",
    }
}

/// How many paths of this verdict the node counts and does not name.
fn over(paths: &Paths, family: &str, word: &str, count: usize) -> usize {
    if UNNAMED.contains(&word) {
        return 0;
    }
    let named = paths.worst.iter().filter(|line| line.family == family && line.state == word).count();
    count.saturating_sub(named)
}

/// The paths, by the answers.
pub(crate) fn matrix(answers: &Answers<NodeStatus>) -> Matrix<'_> {
    let head = answers.head();
    let nodes: Vec<Row<'_>> = answers
        .nodes
        .iter()
        .map(|(node, answer)| {
            let state = answer.as_ref().ok().map(|answer| &answer.value);
            Row { node, paths: state.filter(|status| !status.stale).and_then(|status| status.state.paths.as_ref()) }
        })
        .collect();
    let mut matrix = Matrix {
        head,
        ok: false,
        counts: BTreeMap::new(),
        paths: Vec::new(),
        unnamed: Vec::new(),
        not_probed: Vec::new(),
        nodes,
    };
    for (node, answer) in answers.given() {
        let status = &answer.value;
        let why = match &status.state.paths {
            _ if status.stale => Some("its agent's state is too old"),
            None => Some("its agent does not know of probes: it is of an older release, or has not begun"),
            Some(paths) if !paths.probed => Some("--probe off"),
            Some(_) => None,
        };
        if let Some(why) = why {
            matrix.not_probed.push(NotProbed { node, family: None, why });
            continue;
        }
        if let Some(paths) = &status.state.paths {
            matrix.add(node, paths);
        }
    }
    let mut order = HashMap::new();
    order.extend(matrix.nodes.iter().enumerate().map(|(place, row)| (row.node, place)));
    let place = |node: &str| order.get(node).copied().unwrap_or(usize::MAX);
    matrix.paths.sort_by(|one, other| {
        let key = |path: &Path<'_>| (!path.bad, place(path.from), place(&path.line.node));
        key(one).cmp(&key(other)).then_with(|| one.line.family.cmp(&other.line.family))
    });
    matrix.ok = matrix.code() == 0;
    matrix
}

impl<'a> Matrix<'a> {
    fn add(&mut self, from: &'a str, paths: &'a Paths) {
        let line = |line| Path { from, bad: is_bad(line), line };
        self.paths.extend(paths.worst.iter().map(line));
        self.not_probed.extend(paths.not_probed.iter().map(|(family, why)| NotProbed {
            node: from,
            family: Some(family),
            why,
        }));
        for (family, counts) in &paths.counts {
            for (word, count) in counts.iter().filter(|(_, count)| **count > 0) {
                *self.counts.entry(family).or_default().entry(word).or_default() += count;
                if let count @ 1.. = over(paths, family, word, *count) {
                    self.unnamed.push(Unnamed { from, family, state: word, count });
                }
            }
        }
    }

    /// The exit code: 1: a path is bad; 2: a node could not be asked, or has not judged a path yet, or does not say; 0: none
    /// is bad.
    pub(crate) fn code(&self) -> u8 {
        let has = |wanted: &dyn Fn(&str) -> bool| {
            self.counts.values().flatten().any(|(word, count)| *count > 0 && wanted(word))
        };
        let silent = self.not_probed.iter().any(|not| not.family.is_none() && not.why != "--probe off");
        code(has(&|word| BAD.contains(&word)), self.head.is_incomplete() || silent || has(&|word| word == "unknown"))
    }

    /// The paths for people at `now`.
    pub(crate) fn text(&self, all: bool, now: u64) -> String {
        let mut text = self.head.text();
        for (family, title) in FAMILIES {
            let Some(counts) = self.counts.get(family) else { continue };
            let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
            text += &format!("paths     {title}: {}\n", counts.join(", "));
        }
        for (family, why, nodes) in self.not_probed_by_reason() {
            text += &format!("          not probed{family} by {}: {why}\n", crate::cluster::names(&nodes));
        }
        if self.nodes.len() <= FEW {
            for (family, title) in FAMILIES.into_iter().filter(|(family, _)| self.counts.contains_key(family)) {
                text += &format!("\n{title}, as the row's node finds the path to the column's\n{}", self.cells(family));
            }
        }
        text + &self.worst(all, now)
    }

    fn not_probed_by_reason(&self) -> Vec<(String, &'a str, Vec<String>)> {
        let mut reasons: BTreeMap<(Option<&str>, &'a str), Vec<String>> = BTreeMap::new();
        for not in &self.not_probed {
            reasons.entry((not.family, not.why)).or_default().push(not.node.to_owned());
        }
        let title = |family: Option<&str>| {
            let known = FAMILIES.iter().find(|(word, _)| Some(*word) == family);
            known.map(|(_, title)| format!(" over {title}")).unwrap_or_default()
        };
        reasons.into_iter().map(|((family, why), nodes)| (title(family), why, nodes)).collect()
    }

    /// The matrix of one family; bad paths are in capitals.
    fn cells(&self, family: &str) -> String {
        let bad: HashMap<(&str, &str), &PathLine> = self
            .paths
            .iter()
            .filter(|path| path.line.family == family)
            .map(|path| ((path.from, path.line.node.as_str()), path.line))
            .collect();
        let cell = |from: &Row<'_>, to: &Row<'_>| {
            let Some(paths) = from.paths.filter(|paths| paths.probed) else { return "?".to_owned() };
            if from.node == to.node {
                return "-".to_owned();
            }
            match bad.get(&(from.node, to.node)) {
                Some(line) if is_bad(line) => line.state.to_uppercase(),
                Some(line) => short(&line.state).to_owned(),
                None => match unlisted(paths, family) {
                    "" => "?".to_owned(),
                    word => short(word).to_owned(),
                },
            }
        };
        let mut rows = vec![vec![String::new(), String::new()]];
        rows[0].extend((1..=self.nodes.len()).map(|number| number.to_string()));
        for (number, from) in self.nodes.iter().enumerate() {
            let mut row = vec![(number + 1).to_string(), from.node.to_owned()];
            row.extend(self.nodes.iter().map(|to| cell(from, to)));
            rows.push(row);
        }
        columns(&rows)
    }

    /// The paths that are not open.
    fn worst(&self, all: bool, now: u64) -> String {
        let bad = self.paths.iter().filter(|path| path.bad).count();
        if self.paths.is_empty() {
            return String::new();
        }
        // The others are many where a packet filter is closed: they are shown on request.
        let shown = if all { self.paths.len() } else { bad.min(WORST) };
        let rows: Vec<[String; 6]> = self.paths.iter().take(shown).map(|path| path.row(now)).collect();
        let mut text = String::new();
        if !rows.is_empty() {
            text += &format!("\n{}", table(["FROM", "TO", "FAMILY", "STATE", "FOR", "WHAT IT MEANS"], &rows));
        }
        let (more_bad, more) = (bad.saturating_sub(shown), self.paths.len() - shown.max(bad));
        if more_bad > 0 {
            text += &format!("and {more_bad} more bad paths (--all)\n");
        }
        if more > 0 && !all {
            text += &format!("paths that are neither open nor bad: {more} (--all)\n");
        }
        let unnamed: usize = self.unnamed.iter().map(|unnamed| unnamed.count).sum();
        if unnamed > 0 {
            text += &format!(
                "{unnamed} more are known by their number only: a node names 20 of each state; from there: podlan-node \
                 status --json\n"
            );
        }
        text
    }
}

impl Path<'_> {
    fn row(&self, now: u64) -> [String; 6] {
        let line = self.line;
        let title =
            FAMILIES.iter().find(|(word, _)| *word == line.family).map_or(line.family.as_str(), |(_, title)| title);
        [
            self.from.to_owned(),
            line.node.clone(),
            title.to_owned(),
            line.state.clone(),
            for_how_long(line.since, now).unwrap_or_default(),
            line.text.clone(),
        ]
    }
}

/// Whether packets of pods do not pass it as they should.
pub(crate) fn is_bad(line: &PathLine) -> bool {
    BAD.contains(&line.state.as_str())
}

fn short(word: &str) -> &str {
    if word == "port-closed-by-peer-firewall" { "port-closed" } else { word }
}

/// Columns as wide as their widest cell.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests;

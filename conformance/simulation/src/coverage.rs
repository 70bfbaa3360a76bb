//! Which kinds of events reached an agent in which state.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::agent::Agent;
use crate::world::KINDS;

/// The states of an agent that the table tells apart.
pub const STATES: [&str; 7] = ["beginning", "unready", "ready", "holding", "draining", "keeping", "cut off"];

/// The table.
#[derive(Clone, Debug)]
pub struct Coverage {
    events: [[u64; STATES.len()]; KINDS.len()],
    /// Changes of the world, by their names.
    pub changes: BTreeMap<&'static str, u64>,
    /// Laws checked at rest, by their names.
    pub laws: BTreeMap<&'static str, u64>,
    /// What the agents said of each other, by verdict and reason.
    pub verdicts: BTreeMap<(String, String), u64>,
    /// Verdicts of the probes.
    pub paths: BTreeMap<String, u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            events: [[0; STATES.len()]; KINDS.len()],
            changes: BTreeMap::new(),
            laws: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            paths: BTreeMap::new(),
        }
    }
}

impl Coverage {
    /// The state of an agent.
    pub fn state(agent: &Agent) -> usize {
        let Some(state) = &agent.published else { return 0 };
        let has = |word: &str| state.verdicts.get(word).is_some_and(|count| *count > 0);
        if agent.listed_at.is_none() {
            0
        } else if state.held.is_some() {
            3
        } else if has("draining") {
            4
        } else if has("kept") {
            5
        } else if !state.ready {
            1
        } else if state.v4.failed > 0 {
            6
        } else {
            2
        }
    }

    /// An event of this kind reached an agent in this state.
    pub fn count(&mut self, kind: usize, state: usize) {
        self.events[kind][state] += 1;
    }

    /// A law was checked.
    pub fn law(&mut self, name: &'static str) {
        *self.laws.entry(name).or_default() += 1;
    }

    /// Adds another table.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in self.events.iter_mut().flatten().zip(other.events.iter().flatten()) {
            *mine += others;
        }
        for (name, count) in &other.changes {
            *self.changes.entry(name).or_default() += count;
        }
        for (name, count) in &other.laws {
            *self.laws.entry(name).or_default() += count;
        }
        for (name, count) in &other.verdicts {
            *self.verdicts.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &other.paths {
            *self.paths.entry(name.clone()).or_default() += count;
        }
    }

    /// The tables in Markdown.
    pub fn tables(&self) -> String {
        let mut text = format!("| event | {} |\n|---|{}\n", STATES.join(" | "), "---:|".repeat(STATES.len()));
        for (kind, row) in KINDS.iter().zip(&self.events) {
            let cells: Vec<String> =
                row.iter().map(|count| if *count == 0 { "·".to_owned() } else { count.to_string() }).collect();
            let _ = writeln!(text, "| {kind} | {} |", cells.join(" | "));
        }
        let mut two = |title: &str, rows: Vec<(String, u64)>| {
            let _ = writeln!(text, "\n| {title} | count |\n|---|---:|");
            for (name, count) in rows {
                let _ = writeln!(text, "| {name} | {count} |");
            }
        };
        two("change of the world", self.changes.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect());
        two("law at rest", self.laws.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect());
        let word = |(verdict, reason): &(String, String)| format!("{verdict} {reason}");
        two("verdict at rest", self.verdicts.iter().map(|(name, count)| (word(name), *count)).collect());
        two("path at rest", self.paths.iter().map(|(name, count)| (name.clone(), *count)).collect());
        text
    }
}

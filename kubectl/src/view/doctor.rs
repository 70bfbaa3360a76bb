//! What the doctors of all nodes found: what is wrong by kind, checks that could not run by reason. Pure.

use std::collections::BTreeMap;

use conditions::Condition;
use inspect::doctor::report::Answer;
use serde::Serialize;

use crate::cluster::{Answers, Head, code, names};
use crate::view::problems::{self, Group, groups};

/// What all doctors found.
#[derive(Debug, Serialize)]
pub(crate) struct Doctors<'a> {
    #[serde(flatten)]
    head: Head,
    /// Nothing is wrong, and all was looked at.
    ok: bool,
    /// What is wrong, by kind.
    wrong: Vec<Group<'a>>,
    /// Checks that could not run.
    unknown: Vec<Unknown<'a>>,
    /// The answers, as they came.
    nodes: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
struct Unknown<'a> {
    check: &'a str,
    why: &'a str,
    nodes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    node: &'a str,
    #[serde(flatten)]
    answer: &'a Answer,
}

/// The report, by the answers.
pub(crate) fn doctors(answers: &Answers<Answer>) -> Doctors<'_> {
    let nodes: Vec<Row<'_>> = answers.given().map(|(node, answer)| Row { node, answer: &answer.value }).collect();
    let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for row in &nodes {
        for check in row.answer.checks.iter().filter(|check| check.state == "unknown") {
            let why = check.text.as_deref().unwrap_or_default();
            reasons.entry((&check.check, why)).or_default().push(row.node.to_owned());
        }
    }
    let unknown = reasons.into_iter().map(|((check, why), nodes)| Unknown { check, why, nodes }).collect();
    let wrong = groups(nodes.iter().flat_map(Row::problems));
    let mut doctors = Doctors { head: answers.head(), ok: false, wrong, unknown, nodes };
    doctors.ok = doctors.code() == 0;
    doctors
}

impl<'a> Row<'a> {
    fn problems(&self) -> impl Iterator<Item = (&'a str, &'a Condition)> + use<'a> {
        let (node, answer) = (self.node, self.answer);
        answer.checks.iter().filter_map(|check| check.problems.as_ref()).flatten().map(move |problem| (node, problem))
    }
}

impl Doctors<'_> {
    /// The exit code: 1: something is wrong on a node; 2: a node could not be asked, or a check could not run; 0: all is well.
    pub(crate) fn code(&self) -> u8 {
        // A node of another release may say that something is wrong by a state that this one does not know.
        let wrong =
            self.nodes.iter().any(|row| !row.answer.ok && !row.answer.checks.iter().any(|c| c.state == "unknown"));
        code(wrong || !self.wrong.is_empty(), self.head.is_incomplete() || !self.unknown.is_empty())
    }

    /// The report for people at `now`.
    pub(crate) fn text(&self, all: bool, now: u64) -> String {
        let mut text = self.head.text();
        text += &problems::text(&self.wrong, all, now);
        for Unknown { check, why, nodes } in &self.unknown {
            text += &format!("unknown   {check}: {why} ({})\n", names(nodes));
        }
        let checks: usize = self.nodes.iter().map(|row| row.answer.checks.len()).sum();
        let summary = match self.code() {
            0 => "nothing is wrong".to_owned(),
            1 => format!("problems: {}", problems::counts(&self.wrong)),
            _ => "nothing that was looked at is wrong; not everything could be asked".to_owned(),
        };
        text + &format!("{summary} ({checks} checks on {} nodes)\n", self.nodes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::answers;

    fn answer(json: serde_json::Value) -> Answer {
        serde_json::from_value(json).unwrap()
    }

    fn fine() -> Answer {
        answer(serde_json::json!({ "ok": true, "left": [], "mended": [],
            "checks": [{ "check": "agent", "state": "ok", "text": "it runs" }, { "check": "x", "state": "moot", "text": "-" }] }))
    }

    fn unknown() -> Answer {
        answer(serde_json::json!({ "ok": false, "left": [], "mended": [],
            "checks": [{ "check": "agent", "state": "unknown", "text": "no rights" }] }))
    }

    fn broken() -> Answer {
        answer(serde_json::json!({ "ok": false, "left": [], "mended": [], "checks": [
            { "check": "forwarding", "state": "wrong", "problems": [{
                "kind": "forwarding-off", "severity": "critical", "wrong": "it is off", "why": "w", "cure": "c",
                "mend": "a-fix-of-a-newer-release" }] },
            { "check": "agent", "state": "unknown", "text": "no rights" }] }))
    }

    #[test]
    fn a_healthy_cluster_is_said_to_be_well() {
        let answers = answers([("node1", Ok(fine())), ("node2", Ok(fine()))]);
        let doctors = doctors(&answers);
        assert_eq!(doctors.code(), 0);
        assert!(doctors.text(false, 0).ends_with("nothing is wrong (4 checks on 2 nodes)\n"));
        assert_eq!(serde_json::to_value(&doctors).unwrap()["nodes"][1]["checks"][0]["text"], "it runs");
    }

    #[test]
    fn what_is_wrong_counts_more_than_what_is_unknown_and_a_fix_of_a_newer_release_is_read_over() {
        let all = answers([("node1", Ok(broken())), ("node2", Ok(unknown())), ("node3", Err("down"))]);
        let doctors = doctors(&all);
        let text = doctors.text(false, 0);
        assert_eq!(doctors.code(), 1);
        assert!(text.contains("WRONG     forwarding-off (critical) on node1\n"), "{text}");
        assert!(text.contains("unknown   agent: no rights (node1, node2)\n"), "{text}");
        assert!(text.contains("NO ANSWER node3: down\n") && text.contains("problems: 1 critical"), "{text}");
        let json = serde_json::to_value(&doctors).unwrap();
        assert_eq!(json["wrong"][0]["conditions"][0]["node"], "node1");
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_well() {
        let unknown = answers([("node1", Ok(unknown()))]);
        assert_eq!(doctors(&unknown).code(), 2);
        let silent = answers([("node1", Ok(fine())), ("node2", Err("down"))]);
        assert_eq!(doctors(&silent).code(), 2);
        assert!(doctors(&silent).text(false, 0).contains("not everything could be asked"));
    }
}

//! The alert rules of deploy/prometheus, evaluated for one condition: the expressions on `podlan_node_conditions`, and those
//! on an agent that is gone.

use std::fs;
use std::path::Path;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/podlan.rules.yaml");

/// The alerts and their expressions.
fn rules() -> Vec<(String, String)> {
    let text = fs::read_to_string(Path::new(RULES)).unwrap_or_default();
    let mut rules: Vec<(String, String)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            rules.push((name.to_owned(), String::new()));
        }
        if let (Some(expression), Some(rule)) = (line.strip_prefix("expr: "), rules.last_mut()) {
            expression.clone_into(&mut rule.1);
        }
    }
    rules
}

/// The alert that fires while one condition of this kind and severity is counted.
pub(crate) fn of_condition(kind: &str, severity: &str) -> Option<String> {
    rules().into_iter().find(|(_, expression)| fires(expression, kind, severity)).map(|(name, _)| name)
}

/// The alert that fires when the agent of a node no longer answers.
pub(crate) fn of_silence() -> Option<String> {
    let fires = |expression: &str| {
        let words: Vec<&str> = expression.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        words.contains(&"up") && (expression.contains("== 0") || expression.contains("absent("))
    };
    rules().into_iter().find(|(_, expression)| fires(expression)).map(|(name, _)| name)
}

/// Whether `podlan_node_conditions{MATCHERS} > N`, possibly summed, is true of one condition.
fn fires(expression: &str, kind: &str, severity: &str) -> bool {
    let Some((_, rest)) = expression.split_once("podlan_node_conditions") else { return false };
    let (matchers, rest) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((matchers, rest)) => (matchers, rest),
        None => ("", rest),
    };
    let compared = rest.trim_start_matches([')', ' ']);
    let above = compared == "> 0" || compared == ">= 1" || compared == "!= 0";
    above && matchers.split("\",").all(|one| matches(one.trim().trim_end_matches('"'), kind, severity))
}

/// One matcher: `severity="critical`, `kind!~"a|b`, without its last quote.
fn matches(matcher: &str, kind: &str, severity: &str) -> bool {
    let Some((left, pattern)) = matcher.split_once('"') else { return matcher.is_empty() };
    let left = left.trim();
    let (negated, label) = match left.split_once('!') {
        Some((label, _)) => (true, label),
        None => (false, left.trim_end_matches(['=', '~'])),
    };
    let value = match label {
        "kind" => kind,
        "severity" => severity,
        _ => return false,
    };
    let alternatives = || pattern.split('|').any(|one| one == value);
    let met = if left.ends_with('~') { alternatives() } else { pattern == value };
    met != negated
}

#[test]
fn the_expressions_of_the_rules_are_evaluated_as_prometheus_does() {
    let yes = [
        "podlan_node_conditions{severity=\"critical\"} > 0",
        "sum by (instance, kind) (podlan_node_conditions{severity=\"critical\",kind!~\"a|b\"}) > 0",
        "podlan_node_conditions{kind=~\"c|x\"} > 0",
        "podlan_node_conditions > 0",
    ];
    let no = [
        "podlan_node_conditions{severity=\"warning\"} > 0",
        "podlan_node_conditions{severity=\"critical\",kind!~\"c|b\"} > 0",
        "podlan_node_conditions{kind=\"x\"} > 0",
        "podlan_node_conditions{severity=\"critical\"} > 7",
        "podlan_node_ready == 0",
    ];
    assert_eq!(yes.map(|one| fires(one, "c", "critical")), [true; 4]);
    assert_eq!(no.map(|one| fires(one, "c", "critical")), [false; 5]);
}

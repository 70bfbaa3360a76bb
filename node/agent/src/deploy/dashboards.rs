//! Tests of ../../../../deploy's dashboards and rules: the agent serves every metric that they use.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::metrics::Metrics;
use agent_core::Inner;
use filter::Drops;
use install::pools::Dangers;
use pods::forwarding::keep::Forwarding;
use pods::leases::{LeaseCounts, Room};
use probes::machine::Counts;
use state::paths::Paths;
use state::{State, VerdictLine};

const RULES: &str = include_str!("../../../../deploy/prometheus/podlan.rules.yaml");
const RULE_TESTS: &str = include_str!("../../../../deploy/prometheus/podlan.test.yaml");
const DASHBOARD: &str = include_str!("../../../../deploy/grafana/podlan.json");

/// All metrics that an agent can serve.
fn served() -> String {
    let metrics = Metrics::new();
    let verdicts = ["own", "direct", "onlink", "router", "draining", "skipped"].map(|verdict| VerdictLine {
        verdict: verdict.into(),
        reason: "duplicate-cidr".into(),
        ..VerdictLine::default()
    });
    let leases = pods::leases::NetworkLeases { network: "podnet".into(), ..Default::default() };
    let rooms = Some(("podnet".to_owned(), [Some(Room::default()); 2]));
    let lease_counts = LeaseCounts { leases: vec![leases], rooms, ..LeaseCounts::default() };
    let mut state = State::starting("n1", "file x");
    let counts = ["ipv4", "ipv6"].map(|family| (family.to_owned(), BTreeMap::new())).into();
    state.paths = Some(Paths { counts, ..Paths::default() });
    metrics.set_state(&state, &Dangers::default(), &lease_counts, Inner::default());
    metrics.set_probes(Counts::default());
    metrics.round_trips.observe(0.001);
    metrics.set_drops(Drops::default());
    metrics.set_forwarding(&Forwarding::default());
    metrics.set_verdicts(&verdicts);
    metrics.reconcile.observe(0.1);
    metrics.text()
}

/// The names of podlan's metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("podlan_node_")).collect()
}

/// The queries of rules and panels.
fn queries() -> Vec<String> {
    let mut all = Vec::new();
    let rules: Value = serde_saphyr::from_str(RULES).unwrap();
    for group in rules["groups"].as_array().unwrap() {
        all.extend(group["rules"].as_array().unwrap().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()));
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        all.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    all
}

#[test]
fn every_metric_of_a_rule_or_a_panel_is_served() {
    let text = served();
    let samples: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let served = names(&samples);
    let queries = queries();
    assert!(queries.len() > 20, "{}", queries.len());
    for query in &queries {
        let asked = names(query);
        // `up` is Prometheus' own.
        assert!(!asked.is_empty() || query.starts_with("up{"), "{query} asks nothing of podlan");
        for name in asked {
            assert!(served.contains(name), "{name} of {query} is not served:\n{samples}");
        }
    }
    for name in names(RULE_TESTS) {
        assert!(served.contains(name), "{name} of the tests is not served");
    }
}

#[test]
fn every_label_that_is_asked_for_has_that_value() {
    let text = served();
    let mut seen = 0;
    for query in queries().into_iter().filter(|query| !query.starts_with("up{")) {
        for condition in query.split(['{', ',', '}']).filter(|part| part.contains("=\"") && !part.contains('$')) {
            let asked = condition.replace("!=", "=");
            assert!(text.contains(asked.trim()), "{asked} of {query} is never served");
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn what_the_agent_serves_is_shown_or_watched() {
    let text = served();
    let samples: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let queries = queries().join("\n");
    let watched = names(&queries);
    // A histogram is queried by its buckets.
    for name in names(&samples).into_iter().filter(|name| !name.ends_with("_sum") && !name.ends_with("_count")) {
        assert!(watched.contains(name), "nobody looks at {name}");
    }
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let rules: Value = serde_saphyr::from_str(RULES).unwrap();
    let tests = RULE_TESTS;
    for group in rules["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            for part in ["summary", "description"] {
                assert!(rule["annotations"][part].as_str().is_some_and(|text| text.len() > 20), "{name} has no {part}");
            }
            assert!(matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning")), "{name}");
            assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
        }
    }
}

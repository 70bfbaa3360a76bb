//! The alert rules of deploy/prometheus, tested with Prometheus' own tool: they are valid, each fires on its condition
//! and on nothing else, and the rule tests detect a rule that does not. `scripts/beside promtool` fetches it,
//! PODLAN_PROMTOOL names its directory.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use podlan_conformance::lab;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");

/// How a group of rule tests begins.
const GROUP: &str = "\n- interval: ";

fn promtool() -> Option<PathBuf> {
    let beside = std::env::var_os("PODLAN_PROMTOOL").map(|folder| PathBuf::from(folder).join("bin/promtool"));
    let found = beside.into_iter().chain([PathBuf::from("/usr/bin/promtool")]).find(|path| path.exists());
    if found.is_none() {
        lab::set_aside("missing promtool: export PODLAN_PROMTOOL=$(scripts/beside promtool)");
    }
    found
}

fn run(promtool: &Path, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(promtool).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn each_alert_fires_on_its_condition_and_the_rule_tests_detect_one_that_does_not() {
    let Some(promtool) = promtool() else { return };
    let folder = Path::new(FOLDER);
    for arguments in [&["check", "rules", "podlan.rules.yaml"], &["test", "rules", "podlan.test.yaml"]] {
        let said = run(&promtool, folder, arguments);
        assert!(said.status.success(), "{arguments:?}: {said:?}");
    }
    let [rules, tests] =
        ["podlan.rules.yaml", "podlan.test.yaml"].map(|name| fs::read_to_string(folder.join(name)).unwrap());
    let (head, groups) = tests.split_once(GROUP).unwrap();
    let alerts: Vec<(&str, &str)> =
        rules.split("- alert: ").skip(1).filter_map(|alert| alert.split_once('\n')).collect();
    // All in one run: Prometheus takes two seconds to start.
    let spoiled = tempfile::tempdir().unwrap();
    let mut arguments = vec!["test".to_owned(), "rules".to_owned()];
    for (name, rest) in &alerts {
        let expression = rest.lines().find(|line| line.trim_start().starts_with("expr: ")).unwrap();
        let of_alert = |group: &&str| group.contains(&format!("name: {name}\n"));
        let group = groups.split(GROUP).find(of_alert).unwrap_or_else(|| panic!("{name} has no test"));
        let [rules_file, test_file] = ["rules", "test"].map(|kind| format!("{name}.{kind}.yaml"));
        let never = rules.replace(expression, "    expr: podlan_node_ready == 7");
        fs::write(spoiled.path().join(&rules_file), never).unwrap();
        let test = head.replace("podlan.rules.yaml", &rules_file) + GROUP + group;
        fs::write(spoiled.path().join(&test_file), test).unwrap();
        arguments.push(test_file);
    }
    let said = run(&promtool, spoiled.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&said.stderr);
    for (name, _) in &alerts {
        let noticed = format!("name: {name},\n    alertname: {name}, ");
        assert!(said.contains(&noticed), "no test notices that {name} never fires: {said}");
    }
    assert_eq!(alerts.len(), 22);
}

//! The alert rules of deploy/prometheus, tested with Prometheus' own tool: they are valid, each fires on its condition
//! and on nothing else, and the rule tests detect a rule that does not. `scripts/beside promtool` fetches it,
//! PODLAN_PROMTOOL names its directory.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use podlan_conformance::lab;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus");

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
    let rules = fs::read_to_string(folder.join("podlan.rules.yaml")).unwrap();
    let spoiled = tempfile::tempdir().unwrap();
    fs::copy(folder.join("podlan.test.yaml"), spoiled.path().join("podlan.test.yaml")).unwrap();
    let expressions: Vec<&str> = rules.lines().filter(|line| line.trim_start().starts_with("expr: ")).collect();
    for expression in &expressions {
        let never = rules.replace(expression, "    expr: podlan_node_ready == 7");
        fs::write(spoiled.path().join("podlan.rules.yaml"), never).unwrap();
        let said = run(&promtool, spoiled.path(), &["test", "rules", "podlan.test.yaml"]);
        assert!(!said.status.success(), "no test notices that {expression} never fires");
    }
    assert_eq!(expressions.len(), 22);
}

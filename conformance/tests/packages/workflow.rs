//! The release workflow of a public forge.

use std::fs;
use std::process::Command;

use crate::release::{named, repository, succeeds};

#[test]
fn actionlint_finds_nothing_in_the_workflows() {
    let Some(actionlint) = named("PODLAN_ACTIONLINT") else { return };
    let folder = repository().join(".github/workflows");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    succeeds(Command::new(actionlint).args(["-no-color"]).args(files).current_dir(repository()));
}

/// Each script and each option that the workflow uses is there.
#[test]
fn the_workflow_runs_scripts_that_exist() {
    let workflow = fs::read_to_string(repository().join(".github/workflows/release.yml")).unwrap();
    let named: Vec<&str> = workflow
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || "/-_.".contains(letter)))
        .filter(|word| word.starts_with("scripts/") || word.starts_with(".ci/"))
        .collect();
    assert!(named.contains(&"scripts/release") && named.contains(&"scripts/test-packages"), "{named:?}");
    for script in named {
        assert!(repository().join(script).is_file(), "{script}");
    }
}

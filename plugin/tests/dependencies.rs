//! What the plugin links: the crates, and the features of each, compared with `dependencies.txt` beside this file. It is
//! executed for each pod, so nothing comes in unnoticed.
//!
//! After a wanted change: `PODLAN_RENEW=1 cargo test -p podlan --test dependencies`, and look at the difference.

#![expect(clippy::unwrap_used, reason = "what a test's own tools meet is a failure of the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What the plugin must never link: a runtime, a client of Kubernetes, a command line, logging, and what is used once in a
/// cluster's life.
const NEVER: &[&str] = &["clap", "kube", "k8s-openapi", "podlan-migration", "podlan-node", "tokio", "tracing"];

/// `NAME [FEATURES]` of each crate that is linked or used to build what is, as the lock file has it. Versions are left to
/// the lock file.
fn linked() -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--locked", "--package=podlan", "--edges=normal,build", "--prefix=none"]);
    cargo.args(["--target=x86_64-unknown-linux-musl", "--format={p} [{f}]"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let (name, features) =
            (line.split(' ').next().unwrap(), line[line.rfind('[').unwrap()..].trim_end_matches(" (*)"));
        format!("{name} {features}")
    };
    text.lines().filter(|line| !line.is_empty()).map(line).collect()
}

#[test]
fn the_plugin_links_what_the_golden_says_and_no_migration() {
    let linked = linked();
    for name in NEVER {
        assert!(!linked.iter().any(|line| line.split(' ').next() == Some(name)), "the plugin links {name}");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dependencies.txt");
    let text: String = linked.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("PODLAN_RENEW").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    let golden: BTreeSet<String> = golden.lines().map(str::to_owned).collect();
    let (new, gone): (Vec<_>, Vec<_>) = (linked.difference(&golden).collect(), golden.difference(&linked).collect());
    assert!(
        new.is_empty() && gone.is_empty(),
        "new: {new:#?}\nno longer: {gone:#?}\n(the head of this file says how to renew it)"
    );
}

//! The reference projects' own tests, in Go, with podlan's programs: `conformance/harness/run` builds them and runs
//! each case in a lab of its own. Here they are one test; it prints the cases by suite.

use std::path::Path;
use std::process::Command;

use podlan_conformance::lab::{binaries, skip};

#[test]
fn the_reference_projects_own_tests_pass() {
    let folder = binaries::folder().unwrap_or_else(|error| panic!("{error}"));
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/run");
    let output = Command::new(harness).env(binaries::FOLDER, folder).output();
    let output = output.unwrap_or_else(|error| panic!("conformance/harness/run does not start: {error}"));
    let [printed, complained] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{printed}{complained}");
    println!("{printed}");
    let closing = printed.lines().last().unwrap_or_default();
    match printed.lines().find_map(|line| line.strip_prefix("SKIPPED: ")) {
        Some(why) => skip(why),
        None => assert!(closing.contains(" passed, 0 failed") && !closing.starts_with("0 "), "{printed}"),
    }
}

//! Every kind of condition that podlan can report has a row, or a test elsewhere that is named here: a kind that no test makes
//! is red.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::rows;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Kinds without a row: what keeps them from one, the file with their test, and what that test's text has of them.
const ELSEWHERE: [(&str, &str, &str, &str); 13] = [
    ("loopback-missing", "needs a socket of containerd", "conformance/tests/truth/special.rs", "loopback-missing"),
    ("probe-port-closed", "of the probes", "node/inspect/src/doctor/checks/paths.rs", "port-closed-by-peer-firewall"),
    (
        "route-refused",
        "the agent avoids what is refused",
        "node/inspect/src/doctor/checks/tests.rs",
        "the kernel refuses it",
    ),
    (
        "neighbour-table-small",
        "the setting is the machine's",
        "node/inspect/src/doctor/checks/tests.rs",
        "gc_thresh3=8",
    ),
    ("router-advertisement", "needs a router", "node/inspect/src/doctor/checks/tests.rs", "accept_ra=2"),
    ("ipv6-off", "takes every IPv6 address of the node", "node/inspect/src/doctor/checks/tests.rs", "disable_ipv6"),
    ("source-address", "needs another configuration", "conformance/tests/inspect/doctor/mod.rs", "source-address"),
    (
        "store-clock",
        "needs another time namespace",
        "node/inspect/src/doctor/checks/tests.rs",
        "future of this boot's clock",
    ),
    ("peer-not-routed", "of trace alone", "node/inspect/src/trace/tests.rs", "Kind::PeerNotRouted"),
    ("reverse-path-drop", "of trace alone", "node/inspect/src/trace/tests.rs", "Kind::ReversePathDrop"),
    ("no-such-pod", "of trace alone", "node/inspect/src/trace/tests.rs", "Kind::NoSuchPod"),
    ("pod-silent", "of trace alone", "node/inspect/src/trace/tests.rs", "Kind::PodSilent"),
    ("pod-source-route", "of trace alone", "node/inspect/src/trace/tests.rs", "Kind::PodSourceRoute"),
];

/// The kinds of docs/conditions.md, which is the registry.
fn kinds() -> BTreeSet<String> {
    let page = read(&Path::new(ROOT).join("docs/conditions.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(kind, _)| kind.to_owned()).collect()
}

/// The text of a file, or of all files of a folder.
fn text(path: &Path) -> String {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| text(&entry.path())).collect(),
        Err(_) => read(path),
    }
}

#[test]
fn every_kind_of_condition_is_made_by_a_test() {
    let kinds = kinds();
    assert!(kinds.len() > 50, "{kinds:?}");
    let mut made: BTreeSet<String> = rows::all().into_iter().map(|(_, row)| row.kind.to_owned()).collect();
    for (kind, why, path, says) in ELSEWHERE {
        assert!(text(&Path::new(ROOT).join(path)).contains(says), "{path} has no {says:?} for {kind} ({why})");
        assert!(made.insert(kind.to_owned()), "{kind} has a row");
    }
    let missing: Vec<_> = kinds.difference(&made).collect();
    assert!(missing.is_empty(), "no test makes {missing:?}: add a row");
    let unknown: Vec<_> = made.difference(&kinds).collect();
    assert!(unknown.is_empty(), "{unknown:?} are in no registry");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

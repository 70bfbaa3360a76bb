//! Every kind of condition that podlan can report has a row, or a test elsewhere that is named here: a kind that no test makes
//! is red.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::rows;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A test elsewhere that makes a kind.
struct Elsewhere {
    kind: &'static str,
    /// What keeps it from a row.
    why: &'static str,
    path: &'static str,
    test: &'static str,
    /// What the test's text has of it.
    says: &'static str,
}

const fn elsewhere(
    kind: &'static str,
    why: &'static str,
    path: &'static str,
    test: &'static str,
    says: &'static str,
) -> Elsewhere {
    Elsewhere { kind, why, path, test, says }
}

const CHECKS: &str = "node/inspect/src/doctor/checks/tests.rs";
const TRACE: &str = "node/inspect/src/trace/tests.rs";
const BY_TRACE: &str = "the_kinds_that_only_a_trace_reports";

const ELSEWHERE: [Elsewhere; 9] = [
    elsewhere(
        "kernel-part-missing",
        "needs a kernel without the part",
        "conformance/tests/agent/lacking/nft_fib.rs",
        "without_fib_pods_run_and_the_condition_names_the_option_and_what_is_not_defended",
        "kernel-part-missing",
    ),
    elsewhere(
        "kernel-nat-missing",
        "needs a kernel without NAT",
        "conformance/tests/agent/lacking/nat.rs",
        "without_nat_pods_run_and_the_condition_names_the_options",
        "kernel-nat-missing",
    ),
    elsewhere(
        "loopback-missing",
        "needs a socket of containerd",
        "conformance/tests/truth/special.rs",
        "a_missing_loopback_plugin_is_named_where_containerd_needs_it_and_nowhere_else",
        "loopback-missing",
    ),
    elsewhere(
        "route-refused",
        "the agent asks the kernel for the way first, and wants no route that the kernel would refuse: a refusal is a race",
        CHECKS,
        "a_route_that_the_kernel_refuses_is_not_promised_to_come_back",
        "refuse",
    ),
    elsewhere("peer-not-routed", "of trace alone", TRACE, BY_TRACE, "Kind::PeerNotRouted"),
    elsewhere("reverse-path-drop", "of trace alone", TRACE, BY_TRACE, "Kind::ReversePathDrop"),
    elsewhere("no-such-pod", "of trace alone", TRACE, BY_TRACE, "Kind::NoSuchPod"),
    elsewhere("pod-silent", "of trace alone", TRACE, BY_TRACE, "Kind::PodSilent"),
    elsewhere("pod-source-route", "of trace alone", TRACE, BY_TRACE, "Kind::PodSourceRoute"),
];

/// The kinds of docs/conditions.md, which is the registry.
fn kinds() -> BTreeSet<String> {
    let page = read(&Path::new(ROOT).join("docs/conditions.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(kind, _)| kind.to_owned()).collect()
}

/// The text of a test from its name to its end; nothing where the file has no such test.
fn text(path: &str, test: &str) -> Option<String> {
    let file = read(&Path::new(ROOT).join(path));
    let lines: Vec<&str> = file.lines().collect();
    let named = format!("fn {test}() {{");
    let begin = lines.windows(2).position(|two| two[0].trim() == "#[test]" && two[1].trim() == named)? + 1;
    let indent = lines[begin].len() - lines[begin].trim_start().len();
    let end = format!("{}}}", " ".repeat(indent));
    let body = lines[begin..].iter().take_while(|line| **line != end);
    Some(body.copied().collect::<Vec<_>>().join("\n"))
}

#[test]
fn every_kind_of_condition_is_made_by_a_test() {
    let kinds = kinds();
    assert!(kinds.len() > 50, "{kinds:?}");
    let mut made: BTreeSet<String> = rows::all().into_iter().map(|(_, row)| row.kind.to_owned()).collect();
    for Elsewhere { kind, why, path, test, says } in ELSEWHERE {
        let text = text(path, test).unwrap_or_else(|| panic!("{path} has no test {test}, for {kind} ({why})"));
        assert!(text.contains(says), "{test} has no {says:?} for {kind} ({why})");
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

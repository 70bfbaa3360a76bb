//! The registry, and the page that is generated from it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/conditions.md");

const HEAD: &str = "# Conditions

What podlan can report as wrong on a node. A condition has the same kind in `podlan-node status`, `podlan-node doctor`, `podlan-node trace`,
in `--json`, in `node.json`, in the agent's log (one line when it appears and one when it is cleared) and in the metric
`podlan_node_conditions{kind, severity}`, which is 0 for a kind that is not there. The names are stable.

ADD, DEL and STATUS are the CNI calls of the runtime; STATUS fails with code 50 while pods cannot be created. The source rule drops
packets with a source address that is not the pod's. Other words: [glossary.md](glossary.md).

- `critical`: pods are cut off, can send with forged addresses, or cannot start. The alert `PodlanConditionCritical` fires after 1 minute.
- `warning`: something will fail, or fails for some. The alert `PodlanConditionWarning` fires after 10 minutes.
- `info`: worth knowing; nothing is lost yet. There is no alert.

The agent looks when it starts, 0.1 s after a kernel event (links, addresses, routes, rules, forwarding), and from time to time:
after a look that took t of processor time, the next follows after at least 20 t; without events after 250 t, but between 4 s and a
minute. A look takes some 2 ms on a small node, and some 40 ms at 5,000 nodes, where the agent looks every 10 s.

It reports a fault when a second look, 0.5 s later, finds it again. For the first 3 s after its start it does not report what it
repairs itself, and for the first 30 s not that it is not ready. It reports at most 20 conditions of one kind, and the number of the others.
A check that could not run is listed as `unknown`, with what to do so that it can; what it found before stays.
What packets between two named pods meet is judged by `podlan-node trace` alone.

This page is generated from the registry, `node/conditions/src/kind.rs`:
`PODLAN_GOLDEN=record cargo test -p podlan-conditions`.

| kind | severity | why it matters | what to do |
|---|---|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for kind in Kind::ALL {
        let (name, severity) = (kind.name(), kind.severity().name());
        let _ = writeln!(page, "| `{name}` | {severity} | {} | {} |", kind.why(), kind.cure());
    }
    page
}

#[test]
fn the_page_of_the_conditions_is_the_registry() {
    if std::env::var_os("PODLAN_GOLDEN").is_some_and(|mode| mode == "record") {
        std::fs::write(PAGE, page()).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(written, page(), "record it: PODLAN_GOLDEN=record cargo test -p podlan-conditions");
}

#[test]
fn each_kind_has_a_stable_name_of_its_own_and_says_why_it_matters_and_what_to_do() {
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        let is_kebab = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(is_kebab(kind.name()), "{}", kind.name());
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        for text in [kind.why(), kind.cure()] {
            assert!(text.len() > 10 && !text.ends_with('.') && !text.contains('|'), "{}: {text}", kind.name());
        }
    }
    let later: Kind = serde_json::from_str("\"of-a-newer-release\"").unwrap();
    assert_eq!(later, Kind::Unknown);
}

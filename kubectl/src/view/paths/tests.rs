//! What is known of each path.

use super::*;
use crate::cluster::tests::answers;
use crate::view::status::tests::{node, paths};

fn with(name: &'static str, paths: Paths) -> (&'static str, Result<NodeStatus, &'static str>) {
    let mut node = node(name);
    node.state.paths = Some(paths);
    (name, Ok(node))
}

#[test]
fn a_path_that_is_lost_in_one_direction_is_seen_in_the_matrix_and_in_the_list() {
    let answers = answers([
        with("node1", paths(&[("node3", "ipv4", "lost-there")], 1)),
        with("node2", paths(&[], 2)),
        with("node3", paths(&[("node1", "ipv4", "lost-back"), ("node2", "ipv6", "not-probed")], 1)),
    ]);
    let matrix = matrix(&answers);
    assert_eq!(matrix.code(), 1);
    assert_eq!(
        matrix.text(false, 1_800_000_060),
        "\
nodes     3 of 3 answered
release   0.1.0 (commit abc) everywhere, and of this program
paths     IPv4: 1 lost-back, 1 lost-there, 4 open
paths     IPv6: 1 not-probed, 4 open

IPv4, as the row's node finds the path to the column's
          1          2     3
1  node1  -          open  LOST-THERE
2  node2  open       -     open
3  node3  LOST-BACK  open  -

IPv6, as the row's node finds the path to the column's
          1     2           3
1  node1  -     open        open
2  node2  open  -           open
3  node3  open  not-probed  -

FROM   TO     FAMILY  STATE       FOR   WHAT IT MEANS
node1  node3  IPv4    lost-there  1m0s  it is lost-there
node3  node1  IPv4    lost-back   1m0s  it is lost-back
paths that are neither open nor bad: 1 (--all)
"
    );
    assert!(matrix.text(true, 0).contains("not-probed"));
}

#[test]
fn a_path_that_a_node_does_not_name_is_open_only_where_nothing_else_is_left() {
    let mut known = paths(&[], 3);
    assert_eq!(unlisted(&known, "ipv4"), "open");
    known.counts.get_mut("ipv4").unwrap().insert("no-agent".into(), 1);
    assert_eq!(unlisted(&known, "ipv4"), "open", "its path is good too");
    known.counts.get_mut("ipv4").unwrap().insert("unknown".into(), 1);
    assert_eq!(unlisted(&known, "ipv4"), "unknown");
    known.counts.get_mut("ipv4").unwrap().insert("lost".into(), 21);
    assert_eq!(unlisted(&known, "ipv4"), "not-named");
    assert_eq!((unlisted(&known, "ipv6"), unlisted(&Paths::default(), "ipv4")), ("open", ""));
}

#[test]
fn nodes_without_an_answer_without_probes_or_not_judged_yet_are_not_said_to_be_well() {
    let off = Paths { probed: false, ..Paths::default() };
    let mut unjudged = paths(&[], 0);
    unjudged.counts.get_mut("ipv4").unwrap().insert("unknown".into(), 2);
    let mut closed = paths(&[], 1);
    closed.not_probed.insert("ipv6".into(), "its packet filter drops probes".into());
    let of = |given: Vec<_>| {
        let answers = answers(given);
        let matrix = matrix(&answers);
        (matrix.code(), matrix.text(false, 0))
    };
    let (code, text) = of(vec![with("node1", off), with("node2", closed)]);
    assert_eq!(code, 0, "the operator switched them off");
    assert!(text.contains("not probed by node1: --probe off\n"), "{text}");
    assert!(text.contains("not probed over IPv6 by node2: its packet filter drops probes\n"), "{text}");
    assert!(text.contains("1  node1  ?     ?\n2  node2  open  -\n"), "{text}");
    assert_eq!(of(vec![with("node1", unjudged)]).0, 2);
    assert_eq!(of(vec![("node1", Ok(node("node1")))]).0, 2, "an agent that knows of no probes");
    assert_eq!(of(vec![with("node1", paths(&[], 1)), ("node2", Err("down"))]).0, 2);
}

#[test]
fn a_large_cluster_has_no_matrix_and_its_bad_paths_have_an_end() {
    let names: Vec<String> = (0..30).map(|number| format!("peer{number}")).collect();
    let lost: Vec<(&str, &str, &str)> = names.iter().map(|name| (name.as_str(), "ipv4", "lost")).collect();
    let mut many = paths(&lost, 969);
    many.worst.truncate(20);
    let mut all = answers::<NodeStatus>([]);
    let mut first = node("first");
    first.state.paths = Some(many);
    let answer = |value| Ok(crate::cluster::Answer { release: Ok("r".into()), value, complaint: None });
    all.nodes = vec![("first".into(), answer(first))];
    all.nodes.extend(names.iter().map(|name| (name.clone(), answer(node(name)))));
    let matrix = matrix(&all);
    let text = matrix.text(false, 0);
    assert!(!text.contains("as the row's node finds"), "{text}");
    assert!(text.contains("10 more are known by their number only"), "{text}");
    let json = serde_json::to_value(&matrix).unwrap();
    assert_eq!((json["paths"].as_array().unwrap().len(), &json["unnamed"][0]["count"]), (20, &10.into()));
}

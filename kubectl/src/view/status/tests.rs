//! The states of whole clusters, also of those that no lab has.

use std::borrow::Cow;

use conditions::Kind;
use state::paths::{PathLine, Paths};
use state::{UnknownCheck, VerdictLine};

use super::*;
use crate::cluster::tests::answers;

/// A node that is ready and has a route to one other.
pub(crate) fn node(name: &str) -> NodeStatus {
    let mut state = State::starting(name, "kubernetes");
    state.ready = true;
    state.reasons.clear();
    state.pod_cidrs = vec!["10.244.1.0/24".into(), "fd00:10:244:1::/64".into()];
    state.v4 = state::RouteCounts { desired: 2, installed: 2, failed: 0 };
    state.v6 = state.v4;
    NodeStatus { state, stale: false, peers: Vec::new(), unwanted: Vec::new(), unanswered: None, direct: Vec::new() }
}

/// The paths of a node: those that are named, and how many others are open.
pub(crate) fn paths(named: &[(&str, &str, &str)], open: usize) -> Paths {
    let line = |(node, family, state): &(&str, &str, &str)| PathLine {
        node: (*node).to_owned(),
        family: (*family).to_owned(),
        state: (*state).to_owned(),
        text: format!("it is {state}"),
        since: 1_800_000_000,
        probe: [10, 244, 9, 1].into(),
        address: None,
        seen_as: None,
        rtt_micros: None,
        largest: None,
        mtu: 1500,
    };
    let mut paths = Paths { probed: true, port: 10111, worst: named.iter().map(line).collect(), ..Paths::default() };
    for family in ["ipv4", "ipv6"] {
        let counts = paths.counts.entry(family.to_owned()).or_default();
        for (_, _, word) in named.iter().filter(|(_, of, _)| *of == family) {
            *counts.entry((*word).to_owned()).or_default() += 1;
        }
        counts.insert("open".into(), open);
    }
    paths
}

#[test]
fn a_healthy_cluster_has_a_line_for_each_node_and_nothing_is_wrong() {
    let mut one = node("node1");
    one.state.paths = Some(paths(&[], 1));
    let answers = answers([("node1", Ok(one)), ("node2", Ok(node("node2")))]);
    let statuses = statuses(&answers);
    let text = statuses.text(false, 1_800_000_100);
    assert_eq!(statuses.code(), 0);
    assert_eq!(
        text,
        "\
nodes     2 of 2 answered
release   0.1.0 (commit abc) everywhere, and of this program
ready     2 of 2
routes    IPv4: 4 of 4 installed, 0 failed
routes    IPv6: 4 of 4 installed, 0 failed
wrong     none

NODE   READY  ROUTES  PATHS   CONDITIONS  POD CIDRS
node1  yes    4/4     2 open  none        10.244.1.0/24, fd00:10:244:1::/64
node2  yes    4/4     -       none        10.244.1.0/24, fd00:10:244:1::/64
"
    );
}

#[test]
fn a_cluster_of_one_family_has_no_line_for_the_other() {
    let mut one = node("node1");
    one.state.v4 = state::RouteCounts::default();
    one.state.pod_cidrs = vec!["fd00::/64".into()];
    let answers = answers([("node1", Ok(one))]);
    let text = statuses(&answers).text(false, 0);
    assert!(text.contains("IPv6: 2 of 2") && !text.contains("IPv4"), "{text}");
}

#[test]
fn nodes_that_are_not_ready_hang_or_are_critical_are_wrong_and_those_without_an_answer_unknown() {
    let (mut unready, mut stale, mut critical) = (node("a"), node("b"), node("c"));
    unready.state.ready = false;
    unready.state.reasons = vec!["the list of nodes was not read".into()];
    unready.state.unknown = vec![UnknownCheck { check: "leases".into(), why: "locked".into() }];
    stale.stale = true;
    critical.state.conditions = vec![Condition::new(Kind::ForwardingOff, "", "it is off")];
    for (wrong, says) in [
        (unready, "NOT READY n: the list of nodes was not read\n"),
        (stale, "NOT READY n: its agent has ended or hangs"),
        (critical, "WRONG     forwarding-off (critical) on n\n"),
    ] {
        let answers = answers([("n", Ok(wrong)), ("silent", Err("down"))]);
        let statuses = statuses(&answers);
        let text = statuses.text(false, 0);
        assert_eq!(statuses.code(), 1);
        assert!(text.contains(says) && text.contains("NO ANSWER silent: down\n"), "{text}");
        let json = serde_json::to_value(&statuses).unwrap();
        assert_eq!((&json["ok"], &json["nodes"][0]["state"]["node"].is_string()), (&false.into(), &true));
    }
    let silent = answers([("n", Ok(node("n"))), ("silent", Err("down"))]);
    assert_eq!(statuses(&silent).code(), 2);
}

#[test]
fn of_a_thousand_nodes_those_that_are_not_ready_are_shown() {
    let mut answers = answers::<NodeStatus>([]);
    let answer = |status| {
        Ok(crate::cluster::Answer { release: Ok("0.1.0 (commit abc)".into()), value: status, complaint: None })
    };
    answers.nodes = (0..1000).map(|number| (format!("node{number}"), answer(node("x")))).collect();
    if let Ok(answer) = &mut answers.nodes[500].1 {
        answer.value.state.ready = false;
    }
    let statuses = statuses(&answers);
    let text = statuses.text(false, 0);
    assert!(
        text.lines().count() < 16 && text.contains("node500  no") && text.ends_with("and 999 more nodes (--all)\n"),
        "{text}"
    );
    assert!(statuses.text(true, 0).lines().count() > 1000);
}

#[test]
fn of_an_answer_the_peers_that_are_not_as_wanted_are_kept_and_the_neighbours_by_their_places() {
    let peer = |node: &str, verdict: &'static str, found: &str| Peer {
        line: Cow::Owned(VerdictLine { node: node.into(), verdict: verdict.into(), ..VerdictLine::default() }),
        found: found.into(),
    };
    let status = Status {
        state: Cow::Owned(node("node1").state),
        stale: false,
        peers: vec![
            peer("node1", "own", "as wanted"),
            peer("node2", "direct", "as wanted"),
            peer("node2", "direct", "missing"),
            peer("node3", "router", "as wanted"),
            peer("gone", "onlink", "as wanted"),
        ],
        unwanted: Vec::new(),
        unanswered: None,
        release: String::new(),
        blind: None,
    };
    let kept = keep(status, |node| ["node1", "node2", "node3"].iter().position(|known| *known == node));
    assert_eq!(kept.direct, [1]);
    assert_eq!(kept.peers.iter().map(|peer| peer.found.as_str()).collect::<Vec<_>>(), ["missing"]);
}

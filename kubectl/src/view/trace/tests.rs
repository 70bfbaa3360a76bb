//! Two halves become one way.

use super::*;
use crate::cluster::tests::answers;
use crate::view::status::tests::paths;

fn pod(name: &str, node: &str, addresses: &[&str]) -> Pod {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Pod { name: name.into(), node: node.into(), addresses }
}

/// What a node says of both directions: these hops there and back.
fn answer(from: &str, to: &str, hops: [&[&'static str]; 2]) -> Answer {
    let end = |address: &str| inspect::trace::way::EndAnswer {
        address: address.parse().unwrap(),
        here: true,
        name: address.to_owned(),
    };
    let leg = |from: &str, to: &str, places: &[&'static str]| LegAnswer {
        from: end(from),
        hops: places.iter().map(|place| Hop::at(*place, format!("{place} of it"))).collect(),
        to: end(to),
    };
    let legs = vec![leg(from, to, hops[0]), leg(to, from, hops[1])];
    let way =
        WayAnswer { address_kept: Kept::Yes, legs, node: "n".into(), not_looked_at: vec!["rules by port".into()] };
    Answer { ok: true, release: String::new(), ways: vec![way] }
}

const SENDS: [&[&str]; 2] =
    [&["pod", "host-link", "node", "uplink", "peer"], &["peer", "uplink", "node", "host-link", "pod"]];
const GETS: [&[&str]; 2] = [SENDS[1], SENDS[0]];

fn half(answer: Answer, paths: Paths) -> Half {
    Half { ways: vec![Ok(answer)], paths: Some(paths) }
}

fn two() -> [Pod; 2] {
    [pod("a/web", "node1", &["10.244.1.2"]), pod("a/db", "node2", &["10.244.2.2"])]
}

fn both(one: Paths, other: Paths) -> Answers<Half> {
    let said = |hops| answer("10.244.1.2", "10.244.2.2", hops);
    answers([("node1", Ok(half(said(SENDS), one))), ("node2", Ok(half(said(GETS), other)))])
}

fn places(leg: &Leg) -> Vec<String> {
    leg.hops.iter().map(|step| format!("{} {}", step.node, step.hop.place)).collect()
}

#[test]
fn the_halves_of_both_nodes_are_one_way_there_and_back_with_the_path_between_them() {
    let [from, to] = two();
    let all = both(paths(&[], 1), paths(&[], 1));
    let trace = trace(from, to, &all);
    let [there, back] = &trace.ways[0].legs;
    let ways = [
        [
            "node1 pod",
            "node1 host-link",
            "node1 node",
            "node1 uplink",
            "node1 path",
            "node2 uplink",
            "node2 node",
            "node2 host-link",
            "node2 pod",
        ],
        [
            "node2 pod",
            "node2 host-link",
            "node2 node",
            "node2 uplink",
            "node2 path",
            "node1 uplink",
            "node1 node",
            "node1 host-link",
            "node1 pod",
        ],
    ];
    assert_eq!([places(there), places(back)], ways.map(|way| way.map(str::to_owned).to_vec()));
    assert_eq!(trace.code(), 0);
    let text = trace.text();
    for line in [
        "from      a/web on node1, at 10.244.1.2\n",
        "10.244.1.2 to 10.244.2.2\n node1\n",
        " between the nodes\n",
        "packets of pods pass",
        "the address is kept: 10.244.2.2 sees 10.244.1.2",
        "not looked at: rules by port\n",
        "nothing is wrong on this way\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn what_the_network_between_the_nodes_drops_in_one_direction_is_wrong_in_that_direction_only() {
    // The sender finds its packets lost there; the receiver finds its answers lost, or its own requests lost on the way back.
    for (sender, receiver, wrong) in [
        (vec![("node2", "ipv4", "lost-there")], vec![("node1", "ipv4", "lost-back")], [true, false]),
        (vec![("node2", "ipv4", "lost-there")], vec![], [true, false]),
        (vec![], vec![("node1", "ipv4", "lost-back")], [true, false]),
        (vec![("node2", "ipv4", "lost-back")], vec![("node1", "ipv4", "lost-there")], [false, true]),
        (vec![("node2", "ipv4", "peer-dead")], vec![], [true, true]),
        (vec![("node2", "ipv4", "too-big")], vec![], [true, false]),
        (vec![("node2", "ipv6", "lost-there")], vec![], [false, false]),
        (vec![("node9", "ipv4", "lost-there")], vec![], [false, false]),
    ] {
        let [from, to] = two();
        let all = both(paths(&sender, 1), paths(&receiver, 1));
        let trace = trace(from, to, &all);
        let is_wrong = |leg: &Leg| leg.hops.iter().any(|step| step.hop.state == State::Wrong);
        let [there, back] = &trace.ways[0].legs;
        assert_eq!([is_wrong(there), is_wrong(back)], wrong, "{sender:?} {receiver:?}\n{}", trace.text());
        assert_eq!(trace.code() == 1, wrong.contains(&true));
    }
    let [from, to] = two();
    let all = both(paths(&[("node2", "ipv4", "translated")], 1), paths(&[], 1));
    let translated = trace(from, to, &all);
    assert!(translated.text().contains("the address is NOT kept"), "{}", translated.text());
}

#[test]
fn a_path_that_nobody_probes_is_not_said_to_be_open() {
    let [from, to] = two();
    let off = || Paths { probed: false, ..Paths::default() };
    let trace = trace(from, to, &both(off(), off()));
    assert_eq!(trace.code(), 2);
    assert!(trace.text().contains("whether packets pass is not known: --probe off"), "{}", trace.text());
}

#[test]
fn a_half_that_is_missing_is_named_and_the_other_is_shown() {
    let [from, to] = two();
    let one = half(answer("10.244.1.2", "10.244.2.2", SENDS), paths(&[], 1));
    let trace = trace(from, to, &answers([("node1", Ok(one)), ("node2", Err("no pod of the agent is on this node"))]));
    assert_eq!(trace.code(), 2);
    let text = trace.text();
    assert!(
        text.contains("NO ANSWER node2: no pod of the agent") && text.contains("not known: no pod of the agent"),
        "{text}"
    );
    assert!(text.contains("uplink of it") && text.contains("it is unknown whether the address is kept"), "{text}");
}

#[test]
fn a_node_that_refuses_says_why_where_its_hops_would_be() {
    let [from, to] = two();
    let mut all = both(paths(&[], 1), paths(&[], 1));
    if let Ok(answer) = &mut all.nodes[1].1 {
        answer.value.ways = vec![Err("no lease of this node has 10.244.2.2".into())];
    }
    let trace = trace(from, to, &all);
    assert_eq!(trace.code(), 2);
    assert!(trace.text().contains("not known: no lease of this node has 10.244.2.2"), "{}", trace.text());
}

#[test]
fn two_pods_of_one_node_are_traced_there_alone() {
    let hops: [&[&str]; 2] = [&["pod", "host-link", "node", "host-link", "pod"]; 2];
    let (from, to) = (pod("a/web", "node1", &["10.244.1.2"]), pod("a/db", "node1", &["10.244.1.3"]));
    let one = half(answer("10.244.1.2", "10.244.1.3", hops), paths(&[], 1));
    let trace = trace(from, to, &answers([("node1", Ok(one))]));
    assert_eq!(trace.code(), 0);
    assert_eq!(places(&trace.ways[0].legs[0]).len(), 5);
}

#[test]
fn each_family_that_both_have_is_a_pair() {
    let dual = pod("a", "n", &["10.244.1.2", "fd00::2"]);
    let v6 = pod("b", "n", &["fd00::3"]);
    assert_eq!(pairs(&dual, &dual).len(), 2);
    assert_eq!(pairs(&dual, &v6), [("fd00::2".parse().unwrap(), "fd00::3".parse().unwrap())]);
    assert!(pairs(&v6, &pod("c", "n", &["10.0.0.1"])).is_empty());
}

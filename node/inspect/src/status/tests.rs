//! The status as text.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use conditions::{Condition, Kind};
use routes::Target;
use state::UnknownCheck;

const NOW: Clocks = Clocks { unix: 1_800_000_000, boot: 5000 };

fn line(node: &str, cidr: &str, text: &str, wanted: Option<Target>) -> VerdictLine {
    let (node, cidr, text) = (node.into(), cidr.into(), text.into());
    VerdictLine { node, cidr, text, wanted, ..VerdictLine::default() }
}

fn hop(last: [u8; 2]) -> Target {
    Target::Hop { via: [172, 31, last[0], last[1]].into(), link: 2, onlink: false }
}

#[test]
fn the_wanted_route_stands_beside_the_one_that_was_found() {
    let lines = [
        line("node1", "10.244.1.0/24", "this node's own", Some(Target::Unreachable)),
        line("node2", "10.244.2.0/24", "direct via 172.31.0.2 on eth0", Some(hop([0, 2]))),
        line("node3", "", "skipped: it has no pod CIDR (yet)", None),
    ];
    let own = Key::own("10.244.1.0/24".parse().unwrap());
    let stray = Key::peer("10.244.9.0/24".parse().unwrap());
    let missing = Key::peer("10.244.2.0/24".parse().unwrap());
    let found = Found {
        here: Here::default(),
        routes: Routes::from([(own, Target::Unreachable), (stray, hop([0, 2]))]),
        holders: [(missing, "10.244.2.0/24 via 172.31.0.9 dev eth0 metric 110 proto static".to_owned())].into(),
    };
    let mut state = State::starting("node1", "file /etc/podlan/nodes.yaml");
    state.pod_cidrs = vec!["10.244.1.0/24".into()];
    let text = Status::new(&state, false, &lines, &Ok(found)).text(Detail::Summary, NOW);
    assert_eq!(text, include_str!("expected.txt"));
}

/// The verdicts of a node with 4,999 peers, both families, and the routes that the kernel has when all is well.
fn large() -> (Vec<VerdictLine>, Routes) {
    let (mut lines, mut routes) = (Vec::new(), Routes::new());
    for number in 0_u16..5000 {
        let [high, low] = number.to_be_bytes();
        for cidr in [format!("10.{high}.{low}.0/24"), format!("fd00:10:{number:x}::/64")] {
            let own = number == 0;
            let target = if own { Target::Unreachable } else { hop([high, low]) };
            let verdict = if own { "own" } else { "direct" };
            let text = if own { "this node's own".into() } else { format!("direct via 172.31.{high}.{low} on eth0") };
            let one = line(&format!("node{number}"), &cidr, &text, Some(target));
            routes.extend(one.route());
            lines.push(VerdictLine { verdict: verdict.into(), ..one });
        }
    }
    (lines, routes)
}

fn ready() -> State {
    let mut state = State::starting("node0", "kubernetes, in cluster");
    (state.ready, state.reasons, state.source.last_sync) = (true, Vec::new(), NOW.unix - 90);
    state
}

fn found(routes: Routes) -> Result<Found, netlink::Error> {
    Ok(Found { here: Here::default(), routes, holders: BTreeMap::new() })
}

#[test]
fn five_thousand_nodes_of_which_all_is_well_are_a_short_summary_and_on_request_a_line_each() {
    let (lines, routes) = large();
    let (state, found) = (ready(), found(routes));
    let status = Status::new(&state, false, &lines, &found);
    let text = status.text(Detail::Summary, NOW);
    assert!(text.lines().count() < 40, "{text}");
    assert!(text.contains("each route is as wanted") && text.contains("last read 1m30s ago"), "{text}");
    let row =
        |word: &str| text.lines().find(|line| line.starts_with(word)).map(|line| line.split_whitespace().collect());
    assert_eq!(row("direct "), Some(vec!["direct", "4999", "4999", "0"]), "{text}");
    let all = status.text(Detail::All, NOW);
    let named: BTreeSet<&str> = all.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!((0..5000).all(|number| named.contains(format!("node{number}").as_str())));
}

#[test]
fn one_skipped_one_missing_and_one_refused_peer_of_five_thousand_nodes_are_named_and_so_is_every_condition() {
    let (mut lines, mut routes) = large();
    let skipped = |line: &mut VerdictLine| {
        (line.verdict, line.reason, line.wanted) = ("skipped".into(), "duplicate-cidr".into(), None);
        line.text = "skipped: node9 has the same CIDR".into();
    };
    skipped(&mut lines[4000]);
    routes.remove(&lines[6000].route().unwrap().0);
    lines[8000].reason = "refused-by-kernel".into();
    let (mut state, found) = (ready(), found(routes));
    let mut gone = Condition::new(Kind::AgentGone, "", "the agent's process 7 has ended");
    gone.since = NOW.unix - 61;
    let never = Condition::new(Kind::AgentNotReady, "", "it is not ready");
    state.conditions = vec![never, gone];
    state.unknown = vec![UnknownCheck { check: "leases".into(), why: "no permission".into() }];
    let text = Status::new(&state, false, &lines, &found).text(Detail::Summary, NOW);
    assert!(text.lines().count() < 40, "{text}");
    for word in ["node2000", "node3000", "node4000", "missing", "node9 has the same CIDR"] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    assert!(text.contains("WRONG     agent-gone (critical, for 1m1s): the agent's process 7 has ended"), "{text}");
    assert!(text.contains("WRONG     agent-not-ready (critical): it is not ready"), "0 is no time: {text}");
    assert!(text.contains("unknown   leases: no permission"), "{text}");
    (state.conditions, state.unknown) = (Vec::new(), Vec::new());

    lines[1000..9000].iter_mut().for_each(skipped);
    let text = Status::new(&state, false, &lines, &found).text(Detail::Summary, NOW);
    assert!(text.lines().count() < 40 && text.contains("and 7990 more (skipped: duplicate-cidr)"), "{text}");
}

#[test]
fn where_the_kernel_could_not_be_asked_no_peer_counts_as_wanted_or_wrong_and_it_says_how_to_know() {
    let (lines, _) = large();
    let (state, blind) = (ready(), Err(netlink::Error::Open(std::io::ErrorKind::PermissionDenied.into())));
    let text = Status::new(&state, false, &lines, &blind).text(Detail::Summary, NOW);
    assert!(text.lines().count() < 40, "{text}");
    assert!(text.contains("found     unknown: failed to open a route netlink socket"), "{text}");
    assert!(text.contains("run podlan-node status as root") && !text.contains("as wanted;"), "{text}");
}

#[test]
fn a_warning_that_a_condition_says_too_is_read_once() {
    let (mut state, found) = (ready(), found(Routes::new()));
    state.warnings = vec!["IPv4 forwarding is off, and more".into(), "the kernel could not be asked".into()];
    state.repeated_warnings = state.warnings[..1].to_vec();
    state.conditions = vec![Condition::new(Kind::ForwardingOff, "IPv4", "IPv4 forwarding is off")];
    let text = Status::new(&state, false, &[], &found).text(Detail::Summary, NOW);
    assert_eq!(text.matches("forwarding is off").count(), 1, "{text}");
    assert!(text.contains("warning   the kernel could not be asked"), "{text}");
}

#[test]
fn an_agent_that_does_not_answer_is_said_with_the_age_of_its_last_report() {
    let mut state = ready();
    state.boot_time = NOW.boot - 34;
    let found = Ok(Found { here: Here::default(), routes: Routes::new(), holders: BTreeMap::new() });
    let status = |stale| Status::new(&state, stale, &[], &found).unanswered(Some("Connection refused".to_owned()));
    let text = status(false).text(Detail::Summary, NOW);
    let line = "as of 34s ago: the agent runs, but does not answer (Connection refused); read its log";
    assert!(text.contains(line), "{text}");
    // Of one that has ended, or is stuck, the line "ready" says so.
    assert!(!status(true).text(Detail::Summary, NOW).contains("as of"));
}

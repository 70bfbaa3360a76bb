//! The status as text.

use super::*;
use routes::Target;

#[test]
fn the_wanted_route_stands_beside_the_one_that_was_found() {
    let hop = Target::Hop { via: [172, 31, 0, 2].into(), link: 2, onlink: false };
    let line = |node: &str, cidr: &str, text: &str, wanted| VerdictLine {
        node: node.into(),
        cidr: cidr.into(),
        text: text.into(),
        wanted,
        ..VerdictLine::default()
    };
    let lines = [
        line("node1", "10.244.1.0/24", "this node's own", Some(Target::Unreachable)),
        line("node2", "10.244.2.0/24", "direct via 172.31.0.2 on eth0", Some(hop)),
        line("node3", "", "skipped: it has no pod CIDR (yet)", None),
    ];
    let own = Key::own("10.244.1.0/24".parse().unwrap());
    let stray = Key::peer("10.244.9.0/24".parse().unwrap());
    let missing = Key::peer("10.244.2.0/24".parse().unwrap());
    let found = Found {
        here: Here::default(),
        routes: Routes::from([(own, Target::Unreachable), (stray, hop)]),
        holders: [(missing, "10.244.2.0/24 via 172.31.0.9 dev 2 metric 110 proto static".to_owned())].into(),
    };
    let mut state = State::starting("node1", "file /etc/podlan/nodes.yaml");
    state.pod_cidrs = vec!["10.244.1.0/24".into()];
    assert_eq!(Status::new(&state, false, &lines, &Ok(found)).text(), include_str!("expected.txt"));
}

//! Which pods are selected, and facts that no test can produce with a kernel.

use cni::ContainerId;
use ipam::Presence;
use netlink::{Known, NODE_ROUTE, Route};
use nix::errno::Errno;

use super::endpoints::settle;
use super::follow::follow;
use super::hop::State;
use crate::doctor::checks::healthy;
use facts::Facts;
use facts::legs::{At, End, Leg};
use filter::forward::Transport;
use filter::translation::{Side, Translation};

fn settled(one: &str, other: &str, facts: &Facts) -> Result<Vec<(End, End)>, String> {
    settle(one, other, facts)
}

#[test]
fn a_pod_is_named_by_its_address_its_container_or_its_name_and_never_by_a_guess() {
    let mut facts = healthy();
    let leases = &mut facts.leases.as_mut().unwrap().all;
    let mut second = leases[0].clone();
    second.1.address = "10.244.1.3/24".parse().unwrap();
    second.1.owner.container_id = ContainerId::parse("webmaster").unwrap();
    second.1.proof.pod = None;
    leases.push(second);
    for text in ["10.244.1.2", "web", "default/web"] {
        let pairs = settled(text, "10.244.2.2", &facts).unwrap();
        let [(from, to)] = &pairs[..] else { panic!("{pairs:?}") };
        assert_eq!(from.address.to_string(), "10.244.1.2", "a whole id is no beginning of another");
        assert!(from.is_here() && !to.is_here());
        assert!(matches!(&to.at, At::Peer(peer) if peer.node == "node2" && peer.wanted.is_some()));
    }
    assert_eq!(settled("webm", "web", &facts).unwrap()[0].0.address.to_string(), "10.244.1.3");
    let refused = |one: &str, other: &str| settled(one, other, &facts).unwrap_err();
    assert!(refused("we", "10.244.2.2").contains("matches several attachments"), "{}", refused("we", "10.244.2.2"));
    assert!(refused("", "10.244.2.2").contains("no lease of this node"));
    assert!(refused("10.244.2.2", "10.244.2.3").contains("on node2 run: podlan-node trace 10.244.2.2 10.244.2.3"));
    assert!(refused("10.244.1.2", "fd00:10:244:2::2").contains("no addresses of the same family"));
    assert!(refused("10.244.1.2", "192.0.2.1").contains("not a pod of this cluster"));
    facts.agent = Ok(None);
    assert!(settled("web", "10.244.2.2", &facts).unwrap_err().contains("no agent here knows"));
}

/// From a pod here to one on node2, all well.
fn leg() -> Leg {
    let mut facts = healthy();
    facts.leases.as_mut().unwrap().all[0].1.proof.host_link = Some("podlweb".into());
    let (from, to) = settled("web", "10.244.2.2", &facts).unwrap().remove(0);
    let links = &facts.kernel.as_ref().unwrap().links;
    let way = facts.kernel.as_ref().unwrap().routes[2].clone();
    assert_eq!(way.protocol, NODE_ROUTE);
    Leg {
        node: "node1".into(),
        from,
        to,
        incoming: Some(links[1].clone()),
        outgoing: Some(links[0].clone()),
        taken: Some(links[0].clone()),
        answer: Some(Ok(way.clone())),
        entry: Some(way),
        neighbour: None,
        back: Some(Route { device: Some(9), ..Route::to("10.244.1.2/32".parse().unwrap(), netlink::POD_ROUTE) }),
        forwarding: Ok(None),
        source_rule: Ok(true),
        dropped: Ok(Vec::new()),
        translated: Ok(Vec::new()),
        rule: None,
        transport: Transport::default(),
        blind: Vec::new(),
    }
}

fn translation(certain: bool) -> Translation {
    Translation { chain: "ip nat POSTROUTING".into(), rule: None, side: Side::Source, certain }
}

fn states(leg: &Leg) -> Vec<State> {
    follow(leg).iter().map(|hop| hop.state).collect()
}

#[test]
fn what_is_wrong_is_shown_at_its_hop_and_what_follows_from_it_is_cut_off() {
    use State::{Cut, Elsewhere, Ok as Fine, Unknown, Wrong};
    type Damage = fn(&mut Leg);
    let cases: [(&str, Damage, [State; 5]); 11] = [
        ("nothing", |_| {}, [Fine, Fine, Fine, Fine, Elsewhere]),
        ("the source", |leg| leg.answer = Some(Err(Errno::EXDEV)), [Fine, Wrong, Cut, Fine, Elsewhere]),
        (
            "the source, as others say it",
            |leg| {
                (leg.answer, leg.back) = (Some(Err(Errno::EINVAL)), None);
            },
            [Fine, Wrong, Cut, Fine, Elsewhere],
        ),
        ("a black hole", |leg| leg.answer = Some(Err(Errno::EINVAL)), [Fine, Fine, Wrong, Fine, Elsewhere]),
        (
            "forwarding",
            |leg| {
                let off = pods::forwarding::Off::NodeV4(vec![(9, "podlweb".into())]);
                (leg.forwarding, leg.answer) = (Ok(Some(off)), Some(Err(Errno::EHOSTUNREACH)));
            },
            [Fine, Fine, Wrong, Fine, Elsewhere],
        ),
        (
            "the uplink, and its routes with it",
            |leg| {
                leg.outgoing.as_mut().unwrap().up = false;
                leg.answer = Some(Err(Errno::ENETUNREACH));
            },
            [Fine, Fine, Cut, Wrong, Elsewhere],
        ),
        ("a cable", |leg| leg.outgoing.as_mut().unwrap().carrier = false, [Fine, Fine, Fine, Wrong, Elsewhere]),
        (
            "a translation",
            |leg| {
                leg.translated = Ok(vec![translation(true)]);
            },
            [Fine, Fine, Wrong, Fine, Elsewhere],
        ),
        (
            "a rule that nobody understands",
            |leg| {
                leg.translated = Ok(vec![translation(false)]);
            },
            [Fine, Fine, Unknown, Fine, Elsewhere],
        ),
        (
            "the default route taken",
            |leg| {
                leg.entry.as_mut().unwrap().destination = "0.0.0.0/0".parse().unwrap();
                leg.entry.as_mut().unwrap().protocol = 3;
            },
            [Fine, Fine, Wrong, Fine, Elsewhere],
        ),
        (
            "a dead lease",
            |leg| {
                let At::Here(Some(pod)) = &mut leg.from.at else { panic!("it is here") };
                (pod.presence, pod.link) = (Presence::Gone, None);
                (leg.incoming, leg.answer) = (None, None);
            },
            [Wrong, Cut, Cut, Fine, Elsewhere],
        ),
    ];
    for (damage, damages, expected) in cases {
        let mut leg = leg();
        damages(&mut leg);
        assert_eq!(states(&leg), expected, "{damage}");
        for hop in follow(&leg) {
            assert_eq!(hop.state == Wrong, !hop.problems.is_empty(), "{damage}: {hop:?}");
        }
    }
}

#[test]
fn a_routers_route_where_podlan_wants_none_is_no_damage_and_the_way_to_everybody_is() {
    let mut leg = leg();
    let At::Peer(peer) = &mut leg.to.at else { panic!("it is on node2") };
    (peer.wanted, leg.outgoing) = (None, None);
    leg.entry.as_mut().unwrap().protocol = 12;
    assert_eq!(states(&leg)[2..4], [State::Ok, State::Ok], "BIRD's");
    leg.entry.as_mut().unwrap().destination = "0.0.0.0/0".parse().unwrap();
    assert_eq!(states(&leg)[2], State::Wrong);
}

#[test]
fn a_receiver_that_does_not_answer_is_wrong_at_its_link_and_an_absent_entry_is_named() {
    // The way back: node2's pod sends, the pod here receives.
    let mut leg = leg();
    std::mem::swap(&mut leg.from, &mut leg.to);
    std::mem::swap(&mut leg.incoming, &mut leg.outgoing);
    let of = |known: Option<Known>| {
        let leg = Leg { neighbour: known, ..leg.clone() };
        follow(&leg).into_iter().find(|hop| hop.place == "host-link").unwrap()
    };
    for known in [None, Some(Known::At([2, 0, 0, 0, 0, 1]))] {
        assert_eq!((of(known).state, of(known).text.contains("neighbour")), (State::Ok, false));
    }
    assert_eq!(of(Some(Known::Absent)).state, State::Ok, "the kernel asks when it needs to know");
    assert!(of(Some(Known::Absent)).text.contains("no neighbour entry of 10.244.1.2"));
    let silent = of(Some(Known::Silent));
    assert_eq!(silent.state, State::Wrong);
    assert!(silent.problems[0].wrong.contains("10.244.1.2 does not answer on podlweb"), "{silent:?}");
}

#[test]
fn the_kinds_that_only_a_trace_reports() {
    use conditions::Kind;
    let kinds = |leg: &Leg| -> Vec<Kind> {
        follow(leg).into_iter().flat_map(|hop| hop.problems).map(|problem| problem.kind).collect()
    };
    let back = || {
        let mut leg = leg();
        std::mem::swap(&mut leg.from, &mut leg.to);
        std::mem::swap(&mut leg.incoming, &mut leg.outgoing);
        leg
    };
    let nobody = Leg { from: End { at: At::Here(None), ..leg().from }, incoming: None, answer: None, ..leg() };
    assert!(kinds(&nobody).contains(&Kind::NoSuchPod), "{:?}", kinds(&nobody));
    assert!(kinds(&Leg { neighbour: Some(Known::Silent), ..back() }).contains(&Kind::PodSilent));
    assert!(kinds(&Leg { answer: Some(Err(Errno::EXDEV)), ..leg() }).contains(&Kind::PodSourceRoute));
    assert!(kinds(&Leg { answer: Some(Err(Errno::EXDEV)), ..back() }).contains(&Kind::ReversePathDrop));
    let mut unwanted = leg();
    let At::Peer(peer) = &mut unwanted.to.at else { panic!("it is on node2") };
    peer.wanted = None;
    unwanted.answer = Some(Err(Errno::ENETUNREACH));
    assert!(kinds(&unwanted).contains(&Kind::PeerNotRouted), "{:?}", kinds(&unwanted));
}

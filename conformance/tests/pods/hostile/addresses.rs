//! A pod sends with its own addresses only.

use std::net::{IpAddr, SocketAddr};

use podlan_conformance::lab::{Error, Lab, Place, within};

use super::frames;
use super::rig::{PORT, Receiver, Rig};

/// Which hosts receive a source that is not the thief's, without the agent's rule and with a loose reverse path filter
/// on the node. The kernel itself drops the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrives {
    Nowhere,
    AtTheNode,
    Everywhere,
}

fn sources(rig: &Rig<'_>) -> Vec<(IpAddr, Arrives)> {
    use Arrives::{AtTheNode, Everywhere, Nowhere};
    let parse = |text: &str| text.parse::<IpAddr>().unwrap_or_else(|error| panic!("{text}: {error}"));
    vec![
        (rig.victim.v4.into(), Everywhere),
        (parse("10.244.1.200"), Nowhere),
        (parse("172.31.0.77"), Everywhere),
        (rig.node.v4(), Nowhere),
        (parse("169.254.1.1"), Nowhere),
        (parse("127.0.0.1"), Nowhere),
        (parse("0.0.0.0"), Nowhere),
        (parse("255.255.255.255"), Nowhere),
        (rig.victim.v6.into(), Everywhere),
        (parse("fd31::77"), Everywhere),
        (parse("2001:db8::1"), Everywhere),
        (rig.node.v6(), Everywhere),
        (rig.victim.v4.to_ipv6_mapped().into(), Everywhere),
        (rig.victim.link_local().into(), AtTheNode),
        (parse("fe80::1"), AtTheNode),
        (parse("::1"), Nowhere),
        (parse("::"), AtTheNode),
        (parse("ff02::1"), Nowhere),
    ]
}

/// Which of the sources are received at `to`, in both families.
fn received(rig: &Rig<'_>, place: &Place, to: [IpAddr; 2]) -> Result<Vec<String>, Error> {
    let mut received = Vec::new();
    for (to, v6) in to.into_iter().zip([false, true]) {
        let receiver = Receiver::at(place, to)?;
        let (thief, to) = (&rig.thief, SocketAddr::new(to, PORT));
        let frame = |from: IpAddr, text: &str| frames::udp(thief.ends, SocketAddr::new(from, 4444), to, text);
        let of_family = sources(rig).into_iter().filter(|(from, _)| from.is_ipv6() == v6);
        let mut frames: Vec<_> = of_family.map(|(from, _)| frame(from, &from.to_string())).collect();
        frames.push(frame(thief.ip(v6), "its own"));
        frames.push(frame(thief.ip(v6), "end"));
        thief.sends(&frames)?;
        received.extend(receiver.receives()?);
    }
    received.sort();
    Ok(received)
}

#[test]
fn frames_with_the_address_of_another_are_dropped_and_only_the_agents_rule_drops_them() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let rig = Rig::new(node)?;
        // As on Ubuntu: the kernel's own protection is off.
        rig.set("/proc/sys/net/ipv4/conf/all/rp_filter", "2")?;
        let places = [
            (rig.target.pod.place(), [rig.target.v4.into(), rig.target.v6.into()]),
            (node.place(), [node.v4(), node.v6()]),
        ];
        for ((place, at), least) in places.iter().zip([Arrives::Everywhere, Arrives::AtTheNode]) {
            let arrives_here = |received: Arrives| received == Arrives::Everywhere || received == least;
            let all = sources(&rig).into_iter().filter(|(_, received)| arrives_here(*received));
            let mut without: Vec<String> = all.map(|(from, _)| from.to_string()).collect();
            without.extend(["its own".to_owned(), "its own".to_owned()]);
            without.sort();
            assert_eq!(received(&rig, place, *at)?, without, "without the rule, by {}", place.name());
        }
        let _agent = rig.agent()?;
        for (place, at) in &places {
            assert_eq!(received(&rig, place, *at)?, ["its own", "its own"], "with the rule, by {}", place.name());
        }
        rig.all_is_well()
    });
}

//! Follows a packet through the facts of one direction, from hop to hop: the pods, their links, and the path to and
//! from other nodes. The node's own decision is in `node`. Pure.

use ipam::Presence;
use netlink::{Known, Link};

use super::hop::{Hop, State};
use super::node;
use crate::cure;
use conditions::{Condition, Kind};
use facts::legs::{At, End, Leg, Peer};
use routes::Target;

/// The hops of one direction, in the order in which a packet meets them.
pub fn follow(leg: &Leg) -> Vec<Hop> {
    let mut hops = match &leg.from.at {
        At::Here(_) => vec![pod(&leg.from, &leg.node), host_link(&leg.from, leg, entering_link)],
        At::Peer(peer) => vec![sender(&leg.from, peer, leg), uplink_in(leg)],
    };
    hops.push(node::node(leg));
    hops.extend(match &leg.to.at {
        At::Here(_) => [narrowed(host_link(&leg.to, leg, leaving_link), leg), pod(&leg.to, &leg.node)],
        At::Peer(peer) => [narrowed(uplink_out(peer, leg), leg), receiver(&leg.to, peer, leg)],
    });
    hops
}

fn pod(end: &End, node: &str) -> Hop {
    let Some(pod) = end.pod() else {
        let problem = Condition::new(
            Kind::NoSuchPod,
            end.address.to_string(),
            format!("no pod of {node} has {}: no lease has this address", end.address),
        )
        .because("packets to it are answered \"destination unreachable\"")
        .decided_by_a_person("check the address: podlan-node leases lists those of this node");
        return Hop::at("pod", end.address.to_string()).with([problem]);
    };
    let mut problems = Vec::new();
    if pod.presence == Presence::Gone {
        problems.push(
            Condition::new(
                Kind::LeaseDead,
                end.address.to_string(),
                format!("the pod that had {} is provably gone, and its lease is dead", end.address),
            )
            .because("nothing answers at that address, and no other pod gets it")
            .decided_by_a_person(
                "podlan-node doctor --fix takes the lease back; a running agent does so by itself, in its own \
                 --data-dir",
            )
            .by_command("podlan-node doctor --fix"),
        );
    } else if let Some(link) = pod.link.as_ref().filter(|link| link.up && !link.carrier) {
        problems.push(
            Condition::new(
                Kind::PodInterfaceDown,
                end.address.to_string(),
                format!("{} in the pod is down ({} has no carrier)", pod.ifname, link.name),
            )
            .decided_by_a_person(format!(
                "in the pod's namespace: ip link set {} up; the pod has lost its default route: create it again",
                pod.ifname
            )),
        );
    }
    let text = format!("{} {} has {}", end.name, pod.ifname, end.address);
    let hop = Hop { interface: Some(pod.ifname.clone()), ..Hop::at("pod", text) };
    hop.with(problems)
}

/// The host link of a pod of this node; `of_link` describes one that is up.
fn host_link(end: &End, leg: &Leg, of_link: fn(&End, &Link, &Leg) -> Hop) -> Hop {
    let Some(pod) = end.pod() else {
        return Hop::at("host-link", "none: there is no such pod").but(State::Cut);
    };
    let Some(link) = &pod.link else {
        let name = if pod.host_link.is_empty() { "link" } else { &pod.host_link };
        if pod.presence == Presence::Gone {
            return Hop::at("host-link", format!("{name} was removed with the pod")).but(State::Cut);
        }
        let problem = Condition::new(
            Kind::PodLinkMissing,
            end.address.to_string(),
            format!("the pod's host link ({name}) is missing, and no route leads to {}", end.address),
        )
        .decided_by_a_person("create the pod again: kubectl delete pod …");
        return Hop::at("host-link", name).with([problem]);
    };
    if !link.up {
        let route = cure::pod_route(end.address, &link.name, pod.host_source);
        let problem = Condition::new(Kind::PodLinkDown, link.name.as_str(), format!("{} is down", link.name))
            .decided_by_a_person(format!(
                "podlan-node doctor, check pods, has the commands that put it back: ip link set {} up && {route}",
                link.name
            ));
        return at_link("host-link", link, String::new()).with([problem]);
    }
    of_link(end, link, leg)
}

/// The host link as the sender's packets enter by it.
fn entering_link(end: &End, link: &Link, leg: &Leg) -> Hop {
    let by_kernel = leg.is_refused_at_source();
    let device = leg.back.as_ref().and_then(|route| route.device);
    if device != Some(link.index) || by_kernel {
        return at_link("host-link", link, String::new()).with([forged(end, link, leg, by_kernel)]);
    }
    let rule = match &leg.source_rule {
        Ok(true) => "as the source rule requires",
        Ok(false) => "but no source rule of an agent checks it",
        Err(_) => "the source rule cannot be read",
    };
    at_link("host-link", link, format!("up; {} is routed back to it, {rule}", end.address))
}

/// The host link as packets to the receiver leave by it.
fn leaving_link(end: &End, link: &Link, leg: &Leg) -> Hop {
    let text = format!("up, leads to {}", end.name);
    match leg.neighbour {
        // A pod whose interface is down cannot answer: its own hop reports that.
        Some(Known::Silent) if link.carrier => at_link("host-link", link, String::new()).with([silent(end, link)]),
        Some(Known::Absent) => {
            let asked = format!("{text}; no neighbour entry of {}: the next packet resolves it", end.address);
            at_link("host-link", link, asked)
        }
        Some(Known::Silent | Known::At(_)) | None => at_link("host-link", link, text),
    }
}

fn silent(end: &End, link: &Link) -> Condition {
    let ifname = end.pod().map_or("eth0", |pod| pod.ifname.as_str());
    let cure = if end.address.is_ipv4() {
        format!(
            "in the pod's namespace: ip link set {ifname} up; sysctl -w net.ipv4.conf.all.arp_ignore=0 \
             net.ipv4.conf.{ifname}.arp_ignore=0"
        )
    } else {
        format!("in the pod's namespace: ip link set {ifname} up; sysctl -w net.ipv6.conf.{ifname}.disable_ipv6=0")
    };
    Condition::new(
        Kind::PodSilent,
        end.address.to_string(),
        format!("{} does not answer on {}: its neighbour entry is FAILED or INCOMPLETE", end.address, link.name),
    )
    .decided_by_a_person(cure)
}

fn forged(end: &End, link: &Link, leg: &Leg, by_kernel: bool) -> Condition {
    let back =
        leg.back.as_ref().map_or_else(|| "nowhere".to_owned(), |route| format!("by `{}`", node::shown(route, leg)));
    let who = if by_kernel { "the kernel's reverse path filter (rp_filter)" } else { "the source rule" };
    Condition::new(
        Kind::PodSourceRoute,
        end.address.to_string(),
        format!("{} is not routed back to {}, but {back}: {who} drops its packets", end.address, link.name),
    )
    .cured_by(cure::pod_route(end.address, &link.name, end.pod().and_then(|pod| pod.host_source)))
}

fn sender(end: &End, peer: &Peer, leg: &Leg) -> Hop {
    let text = format!("{} sends the packets of {}; on that node run: {}", peer.node, end.address, question(leg));
    Hop::at("peer", text).but(State::Elsewhere)
}

fn receiver(end: &End, peer: &Peer, leg: &Leg) -> Hop {
    let text = format!("{} delivers it to {}; on that node run: {}", peer.node, end.address, question(leg));
    Hop::at("peer", text).but(State::Elsewhere)
}

fn question(leg: &Leg) -> String {
    format!("podlan-node trace {} {}", leg.from.address, leg.to.address)
}

/// The link on which packets of another node arrive.
fn uplink_in(leg: &Leg) -> Hop {
    let Some(link) = &leg.incoming else {
        return Hop::at("uplink", "it is not known on which link that node's packets arrive").but(State::Unknown);
    };
    if let Some(problem) = broken(link) {
        return at_link("uplink", link, String::new()).with([problem]);
    }
    if leg.is_refused_at_source() {
        let back =
            leg.back.as_ref().map_or_else(|| "nowhere".to_owned(), |route| format!("by `{}`", node::shown(route, leg)));
        let problem = Condition::new(
            Kind::ReversePathDrop,
            link.name.as_str(),
            format!("rp_filter drops it: {} is not routed back to {}, but {back}", leg.from.address, link.name),
        )
        .decided_by_a_person(format!(
            "route the reply over the same link, or: sysctl -w net.ipv4.conf.{}.rp_filter=2",
            link.name
        ))
        .by_command(format!("sysctl -w net.ipv4.conf.{}.rp_filter=2", link.name));
        return at_link("uplink", link, String::new()).with([problem]);
    }
    at_link("uplink", link, "up; packets from that node are accepted")
}

/// The link by which packets leave to another node.
fn uplink_out(peer: &Peer, leg: &Leg) -> Hop {
    let Some(link) = leg.outgoing.as_ref().or(leg.taken.as_ref()) else {
        return Hop::at("uplink", "none is known").but(State::Cut);
    };
    let via = match peer.wanted {
        Some(Target::Hop { via, .. }) => Some(via),
        _ => leg.answer.as_ref().and_then(|answer| answer.as_ref().ok()?.gateway),
    };
    let text = via.map_or_else(|| "up".to_owned(), |via| format!("up, next hop {via}"));
    let silent = via.filter(|_| broken(link).is_none() && leg.neighbour == Some(Known::Silent));
    let silent = silent.map(|via| {
        Condition::new(
            Kind::NextHopSilent,
            peer.node.as_str(),
            format!(
                "{via}, the next hop to {}, does not answer on {}: its neighbour entry is FAILED or INCOMPLETE",
                peer.node, link.name
            ),
        )
        .decided_by_a_person("see whether that node is up, has this address, and answers on that segment")
    });
    Hop { next_hop: via, ..at_link("uplink", link, text) }.with(broken(link).into_iter().chain(silent))
}

fn broken(link: &Link) -> Option<Condition> {
    let wrong = match (link.up, link.carrier) {
        (true, true) => return None,
        (false, _) => format!("{} is down", link.name),
        (true, false) => format!("{} has no carrier", link.name),
    };
    let problem = Condition::new(Kind::UplinkDown, link.name.as_str(), wrong)
        .because("nothing is received from that node or sent to it");
    Some(if link.up {
        problem.decided_by_a_person("check its cable, switch or virtual switch")
    } else {
        problem.cured_by(format!("ip link set {} up", link.name))
    })
}

/// Whether packets that arrived fit the link by which they leave.
fn narrowed(hop: Hop, leg: &Leg) -> Hop {
    let (Some(wide), Some(narrow)) = (leg.incoming.as_ref(), hop.mtu) else { return hop };
    if narrow >= wide.mtu || hop.state != State::Ok {
        return hop;
    }
    let name = hop.interface.clone().unwrap_or_default();
    let problem = Condition::new(
        Kind::UplinkMtu,
        name.as_str(),
        format!("{name} has an MTU of {narrow}, and {} one of {}", wide.name, wide.mtu),
    )
    .because("large packets do not fit: where the ICMP error is lost, connections open and then hang")
    .decided_by_a_person(format!("podlan-node doctor, check mtu; or raise the MTU of {name}"));
    hop.with([problem])
}

fn at_link(place: &'static str, link: &Link, text: impl Into<String>) -> Hop {
    let (name, text) = (&link.name, text.into());
    let text = if text.is_empty() { name.clone() } else { format!("{name} {text}") };
    Hop { interface: Some(name.clone()), mtu: Some(link.mtu), ..Hop::at(place, text) }
}

//! Queries the kernel for what happens to the packets of one direction. Decides nothing.

use std::net::IpAddr;

use netlink::{Family, Forwarded, Known, Link, Looked, Lookup, Route, Socket};
use nftables::Nfnetlink;

use super::{At, End, Leg, Peer};
use crate::observe::bridges;
use crate::{Facts, Seen};
use filter::forward::{self, Packet, Transport};
use filter::translation;
use routes::Target;

/// Observes both directions: of a connection of `one` to a port of `other`, and of one of `other`. With a port the way back is
/// that of the answers, in which no rule is looked for by a port.
pub fn legs(one: &End, other: &End, transport: Transport, facts: &Facts) -> Result<[Leg; 2], String> {
    let back = Transport { port: None, ..transport };
    Ok([leg(one, other, transport, facts)?, leg(other, one, back, facts)?])
}

fn leg(from: &End, to: &End, transport: Transport, facts: &Facts) -> Result<Leg, String> {
    let kernel = facts.kernel()?;
    let by_index = |index: Option<u32>| kernel.links.iter().find(|link| Some(link.index) == index).cloned();
    let failed = |error: netlink::Error| format!("failed to query the kernel: {error}");
    let mut socket = Socket::open().map_err(failed)?;
    let back = Route::ask(&mut socket, Lookup::Packet, from.address).map_err(failed)?;
    let incoming = match &from.at {
        At::Here(pod) => pod.as_ref().and_then(|pod| pod.link.clone()),
        // Packets of a peer arrive on the link that podlan's route to it uses.
        At::Peer(peer) => by_index(wanted_link(peer.wanted).or(back.as_ref().and_then(|route| route.device))),
    };
    let outgoing = match &to.at {
        At::Here(pod) => pod.as_ref().and_then(|pod| pod.link.clone()),
        At::Peer(peer) => by_index(wanted_link(peer.wanted)),
    };
    let neighbour = match (&to.at, &outgoing) {
        (At::Here(_), Some(link)) => Some(Known::ask(&mut socket, to.address, link.index).map_err(failed)?),
        (At::Peer(Peer { wanted: Some(Target::Hop { via, .. }), .. }), Some(link)) => {
            Some(Known::ask(&mut socket, *via, link.index).map_err(failed)?)
        }
        _ => None,
    };
    let packet =
        incoming.as_ref().map(|link| Forwarded { source: from.address, destination: to.address, incoming: link.index });
    let mut answer = None;
    let mut entry = None;
    if let Some(packet) = &packet {
        let unread = || "failed to query the kernel: its answer is not a route".to_owned();
        answer = Some(match Route::ask_forwarded(&mut socket, Lookup::Packet, packet).map_err(failed)? {
            Ok(route) => Ok(route.ok_or_else(unread)?),
            Err(refused) => Err(refused.errno),
        });
        entry = Route::ask_forwarded(&mut socket, Lookup::Entry, packet).map_err(failed)?.ok().flatten();
    }
    let rule = packet.and_then(|packet| {
        let decisions = facts.decisions.as_ref().ok()?.as_ref()?;
        let looked =
            Looked { destination: packet.destination, source: Some(packet.source), incoming: Some(packet.incoming) };
        let table = match &answer {
            Some(Ok(_)) => Some(entry.as_ref()?.table),
            _ => None,
        };
        let (rule, route) = decisions.blame(&looked, incoming.as_ref().map(|link| link.name.as_str()), table)?;
        Some((rule.clone(), route.cloned()))
    });
    let entry = entry.or_else(|| best(&kernel.routes, to.address).cloned());
    let taken = by_index(answer.as_ref().and_then(|answer| answer.as_ref().ok()?.device));
    let links = [incoming.as_ref(), taken.as_ref().or(outgoing.as_ref())];
    let (dropped, translated) = rules(from, to, links, transport, &bridges(&kernel.links));
    let by = incoming.as_ref().map(|link| link.index);
    let forwarding = facts.not_forwarding(Family::of(from.address)).map(|off| off.and_then(|off| off.at(by)));
    Ok(Leg {
        node: facts.said().ok().flatten().map_or_else(|| "this node".to_owned(), |said| said.state.node.clone()),
        from: from.clone(),
        to: to.clone(),
        incoming,
        outgoing,
        taken,
        answer,
        entry,
        rule,
        neighbour,
        back,
        forwarding,
        source_rule: facts.packet_filter.as_ref().map_err(Clone::clone).map(|rules| rules.contains(&("source", true))),
        dropped,
        translated,
        transport,
        blind: blind(),
    })
}

/// What acts on packets beside routes and nf_tables.
fn blind() -> Vec<&'static str> {
    let ipvs = std::path::Path::new("/proc/net/ip_vs").exists();
    let bpf = "programs that bpf attaches to links, cgroups and sockets";
    ipvs.then_some("the services of IPVS").into_iter().chain([bpf]).collect()
}

fn wanted_link(wanted: Option<Target>) -> Option<u32> {
    match wanted? {
        Target::Hop { link, .. } => Some(link),
        Target::Unreachable | Target::Foreign => None,
    }
}

/// The main table's entry for an address: the most specific, and of these the one with the lowest metric.
fn best(routes: &[Route], address: IpAddr) -> Option<&Route> {
    let holds = routes.iter().filter(|route| route.destination.contains(address));
    holds.min_by_key(|route| (u8::MAX - route.destination.prefix(), route.metric))
}

/// Follows the first packet of a connection through the packet filter.
fn rules(
    from: &End,
    to: &End,
    links: [Option<&Link>; 2],
    transport: Transport,
    bridges: &[String],
) -> (Seen<Vec<forward::ForwardDrop>>, Seen<Vec<translation::Translation>>) {
    let name = |link: Option<&Link>| link.map(|link| link.name.clone()).unwrap_or_default();
    let [incoming, outgoing] = links.map(name);
    let indexes = links.map(|link| link.map(|link| link.index));
    let packet = Packet { source: from.address, destination: to.address, incoming, outgoing, indexes, transport };
    let failed = |error: nftables::Error| format!("failed to read the packet filter: {error}");
    match Nfnetlink::requests() {
        Ok(mut socket) => (
            forward::look(&mut socket, std::slice::from_ref(&packet), bridges).map_err(failed),
            translation::look(&mut socket, &packet).map_err(failed),
        ),
        Err(error) => (Err(failed(error)), Err("the packet filter cannot be read".to_owned())),
    }
}

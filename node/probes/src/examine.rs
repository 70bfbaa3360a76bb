//! Asks the kernel's rules whether one of them drops what the probe link forwards, and no rule drops what links of pods do.

use std::net::IpAddr;
use std::sync::Arc;

use filter::forward::{ForwardDrop, Packet, Protocol, Transport, look as follow};
use netlink::{Family, HOST_LINK_PREFIX, Link, Lookup, POD_ROUTE, Route, Socket};
use nftables::Nfnetlink;

use crate::endpoint::OUTER_LINK;
use crate::machine::Peer;

/// The number of peers, and of pods, whose packets are followed: rules name links and the cluster's subnet, seldom single nodes.
const FEW: usize = 2;

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Links or routes.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The rules.
    #[error("read the rules of other programs: {0}")]
    Rules(#[from] nftables::Error),
}

/// The rule of each family that drops probes between `own` and the peers, and not packets of pods, in a sentence. On a node
/// without pods no packet of a pod is dropped.
pub(crate) fn look(
    socket: &mut Socket,
    own: [Option<IpAddr>; 2],
    peers: &[Arc<Peer>],
    port: u16,
) -> Result<[Option<String>; 2], Error> {
    let links = socket.dump(Link::dump(), |message| Link::from_message(&message))?;
    let bridges: Vec<String> = links.iter().filter(|link| link.bridge).map(|link| link.name.clone()).collect();
    let mut rules = Nfnetlink::requests()?;
    let mut found = [None, None];
    for family in Family::BOTH {
        let Some(own) = own[family.index()] else { continue };
        let mut ways = Vec::new();
        for probe in peers.iter().filter(|peer| peer.family == family).filter_map(|peer| peer.probe).take(FEW) {
            let uplink = Route::ask(socket, Lookup::Entry, probe)?.and_then(|route| named(&links, route.device));
            ways.extend(uplink.map(|uplink| (probe, uplink)));
        }
        let to_port = Transport { protocol: Protocol::Udp, port: Some(port) };
        let probes = packets(&links, (own, OUTER_LINK), &ways, to_port);
        let Some(drop) = certain(follow(&mut rules, &probes, &bridges)?) else { continue };
        let pods = pods(socket, &links, family)?;
        let of_pods = pods.iter().flat_map(|(pod, link)| packets(&links, (*pod, link), &ways, Transport::default()));
        let of_pods: Vec<Packet> = of_pods.collect();
        if certain(follow(&mut rules, &of_pods, &bridges)?).is_none() {
            found[family.index()] =
                Some(format!("the chain {} drops probes, and not packets of pods, {}", drop.place(), drop.by()));
        }
    }
    Ok(found)
}

fn named(links: &[Link], index: Option<u32>) -> Option<&str> {
    links.iter().find(|link| Some(link.index) == index).map(|link| link.name.as_str())
}

/// Both directions between an address behind a link of this node's and each peer.
fn packets(links: &[Link], (own, link): (IpAddr, &str), ways: &[(IpAddr, &str)], transport: Transport) -> Vec<Packet> {
    let index = |name: &str| links.iter().find(|link| link.name == name).map(|link| link.index);
    let packet = |source, destination, incoming: &str, outgoing: &str| Packet {
        source,
        destination,
        incoming: incoming.into(),
        outgoing: outgoing.into(),
        indexes: [index(incoming), index(outgoing)],
        transport,
    };
    let both = |(peer, uplink): &(IpAddr, &str)| [packet(own, *peer, link, uplink), packet(*peer, own, uplink, link)];
    ways.iter().flat_map(both).collect()
}

/// Some pods of this node, with their links.
fn pods(socket: &mut Socket, links: &[Link], family: Family) -> Result<Vec<(IpAddr, String)>, Error> {
    let routes = socket.dump(Route::dump(family, POD_ROUTE), |message| Route::from_message(&message))?;
    let of_pod = |route: &Route| {
        let name = named(links, route.device).filter(|name| name.starts_with(HOST_LINK_PREFIX))?;
        Some((route.destination.ip(), name.to_owned()))
    };
    Ok(routes.iter().filter_map(of_pod).take(FEW).collect())
}

fn certain(drops: Vec<ForwardDrop>) -> Option<ForwardDrop> {
    drops.into_iter().find(|drop| drop.certain)
}

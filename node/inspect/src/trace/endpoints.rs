//! Finds the two pods that an operator names: in the leases of this node, and in the agent's list of other nodes. Pure.

use std::net::IpAddr;

use ipam::{Lease, Presence};
use netlink::{Link, Route};

use crate::doctor::checks::attachments::host_source;
use facts::Facts;
use facts::legs::{At, End, Peer, Pod};

/// Finds both: one pair of addresses for each family that both have.
pub fn settle(one: &str, other: &str, facts: &Facts) -> Result<Vec<(End, End)>, String> {
    let (ones, others) = (addresses(one, facts)?, addresses(other, facts)?);
    let mut pairs = Vec::new();
    for from in &ones {
        for to in others.iter().filter(|to| to.is_ipv4() == from.is_ipv4()) {
            pairs.push((end(*from, facts)?, end(*to, facts)?));
        }
    }
    if pairs.is_empty() {
        return Err(format!("{one} and {other} have no addresses of the same family"));
    }
    for (from, to) in &pairs {
        if from.address == to.address {
            return Err(format!(
                "{one} and {other} are the same pod: its packets to itself do not leave its namespace"
            ));
        }
        if let (At::Peer(of_from), At::Peer(of_to)) = (&from.at, &to.at) {
            let (from, to) = (from.address, to.address);
            let who = if of_from.node == of_to.node { String::new() } else { format!(" or {}", of_to.node) };
            return Err(format!(
                "neither {from} (of {}) nor {to} (of {}) is on this node: on {}{who} run: podlan-node trace {from} \
                 {to}",
                of_from.node, of_to.node, of_from.node
            ));
        }
    }
    Ok(pairs)
}

/// The addresses of a pod, by its address, its container id or a prefix of it, or `namespace/name`.
fn addresses(text: &str, facts: &Facts) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let leases = leases(facts)?;
    let is = |lease: &Lease| lease.proof.pod.as_deref() == Some(text) || lease.owner.container_id.as_str() == text;
    let begins = |lease: &Lease| !text.is_empty() && lease.owner.container_id.as_str().starts_with(text);
    let mut named: Vec<&Lease> = leases.iter().map(|(_, lease, _)| lease).filter(|lease| is(lease)).collect();
    if named.is_empty() {
        named = leases.iter().map(|(_, lease, _)| lease).filter(|lease| begins(lease)).collect();
    }
    let Some(first) = named.first() else {
        return Err(format!(
            "no lease of this node belongs to a container or pod {text:?} (podlan-node leases shows them); name a pod \
             of another \
             node by its address"
        ));
    };
    if named.iter().any(|lease| lease.owner != first.owner) {
        let all: Vec<String> = named
            .iter()
            .map(|lease| format!("{} of {} {}", lease.address.ip(), lease.owner.container_id, lease.owner.ifname))
            .collect();
        return Err(format!("{text:?} matches several attachments: give the address of one ({})", all.join(", ")));
    }
    Ok(named.iter().map(|lease| lease.address.ip()).collect())
}

fn leases(facts: &Facts) -> Result<&[(String, Lease, Presence)], String> {
    let leases = facts.leases()?;
    match leases.unreadable.first() {
        Some(error) => Err(error.clone()),
        None => Ok(&leases.all),
    }
}

fn end(address: IpAddr, facts: &Facts) -> Result<End, String> {
    if let Some((network, lease, presence)) = leases(facts)?.iter().find(|(_, lease, _)| lease.address.ip() == address)
    {
        let name = lease.proof.pod.clone().unwrap_or_else(|| lease.owner.container_id.to_string());
        return Ok(End { address, name, at: At::Here(Some(pod(network, lease, *presence, facts)?)) });
    }
    let name = address.to_string();
    if facts.own_cidrs().iter().any(|cidr| cidr.contains(address)) {
        return Ok(End { address, name, at: At::Here(None) });
    }
    let Some(said) = facts.said()? else {
        return Err(format!(
            "no lease of this node has {address}, and no agent here knows the other nodes (is it running?)"
        ));
    };
    let others = said.verdicts.iter().filter(|line| line.node != said.state.node);
    let mut holds =
        others.filter(|line| line.cidr.parse().is_ok_and(|cidr: ipnetwork::IpNetwork| cidr.contains(address)));
    let Some(line) = holds.next() else {
        return Err(format!(
            "{address} is not a pod of this cluster: it is in no node's pod CIDR (podlan-node status lists them)"
        ));
    };
    let peer = Peer { node: line.node.clone(), wanted: line.wanted, verdict: line.text.clone() };
    Ok(End { address, name, at: At::Peer(peer) })
}

fn pod(network: &str, lease: &Lease, presence: Presence, facts: &Facts) -> Result<Pod, String> {
    let kernel = facts.kernel()?;
    let host_link = lease.proof.host_link.clone().unwrap_or_default();
    let by_name = kernel.links.iter().find(|link| link.name == host_link);
    let to_it = |route: &&Route| route.destination == lease.address.ip().into();
    let device = || kernel.routes.iter().find(to_it).and_then(|route| route.device);
    let by_route = || kernel.links.iter().find(|link| Some(link.index) == device());
    let link: Option<Link> = by_name.or_else(by_route).cloned();
    let host_source = host_source(facts, network, lease.address.ip());
    Ok(Pod { ifname: lease.owner.ifname.to_string(), host_link, link, presence, host_source })
}

//! What an agent should make of its list, by brute force: the naive form of the planner, with which the real one is compared.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::{NODE_ROUTE, RouteKind};
use nodes::Node;
use routes::kernel::is_pod_link;
use routes::overlap;

use crate::host::Host;
use crate::world::World;

/// What should become of one CIDR of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The CIDR.
    pub cidr: IpNetwork,
    /// The next hop and the verdict's word, or the reasons that may be given.
    pub hop: Result<(IpAddr, &'static str), &'static [&'static str]>,
}

/// The answer for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Straight,
    Gateway(IpAddr),
    Own,
    None(&'static [&'static str]),
}

impl World {
    /// What should become of each CIDR of each peer, by the list that the agent has, and by its kernel. Peers that lack
    /// something which they had are left out.
    pub fn expected(&self, host: usize) -> BTreeMap<(String, IpNetwork), Outcome> {
        let machine = &self.hosts[host];
        let Some(nodes) = machine.agent.as_ref().and_then(|agent| agent.list.as_deref()) else {
            return BTreeMap::new();
        };
        let mut unique: Vec<&Node> = Vec::new();
        for node in nodes {
            if unique.last().is_none_or(|last| last.name != node.name) {
                unique.push(node);
            }
        }
        let mine = unique.iter().find(|node| *node.name == *machine.name);
        let own: &[IpNetwork] = mine.map_or(&[], |node| &node.pod_cidrs);
        let near: Vec<(IpAddr, &str)> = unique
            .iter()
            .flat_map(|node| node.addresses.iter().map(|address| (*address, &*node.name)))
            .filter(|(address, _)| is_near(machine, *address))
            .collect();
        let mut expected = BTreeMap::new();
        let mut taken: Vec<IpNetwork> = own.to_vec();
        for node in &unique {
            if *node.name == *machine.name || self.lacks(node) {
                continue;
            }
            for cidr in &node.pod_cidrs {
                let hop = self.outcome(machine, node, *cidr, own, &near, &unique);
                let hop = match hop {
                    Ok(_) if taken.contains(cidr) => Err(["duplicate-cidr"].as_slice()),
                    Ok(hop) => {
                        taken.push(*cidr);
                        Ok(hop)
                    }
                    Err(reasons) => Err(reasons),
                };
                expected.insert((node.name.to_string(), *cidr), Outcome { cidr: *cidr, hop });
            }
        }
        expected
    }

    /// Whether a node lacks a family that it had once: then an agent may keep what it knew.
    pub fn lacks(&self, node: &Node) -> bool {
        let Some((cidrs, addresses)) = self.api.had.get(&*node.name) else { return false };
        [true, false].iter().any(|v4| {
            let has = |all: &[IpNetwork]| all.iter().any(|cidr| cidr.is_ipv4() == *v4);
            let is_of_it = |address: &IpAddr| address.is_ipv4() == *v4;
            cidrs.iter().any(|cidr| cidr.is_ipv4() == *v4) && !has(&node.pod_cidrs)
                || addresses.iter().any(is_of_it) && !node.addresses.iter().any(is_of_it)
        })
    }

    fn outcome(
        &self,
        machine: &Host,
        node: &Node,
        cidr: IpNetwork,
        own: &[IpNetwork],
        near: &[(IpAddr, &str)],
        all: &[&Node],
    ) -> Result<(IpAddr, &'static str), &'static [&'static str]> {
        if own.iter().any(|own| overlap(*own, cidr)) {
            return Err(&["overlaps-own-cidr"]);
        }
        let swallowed = |address: &netlink::Address| {
            let own = address.address;
            own.is_ipv4() == cidr.is_ipv4()
                && (cidr.contains(own.ip()) || cidr.contains(own.network()) && cidr.prefix() <= own.prefix())
        };
        if machine.kernel.addresses.iter().any(|address| !address.link_scope && swallowed(address)) {
            return Err(&["overlaps-local"]);
        }
        if near.iter().any(|(address, _)| cidr.contains(*address)) {
            return Err(&["covers-node"]);
        }
        let of_family: Vec<IpAddr> =
            node.addresses.iter().copied().filter(|own| own.is_ipv4() == cidr.is_ipv4()).collect();
        if of_family.is_empty() {
            return Err(&["no-address"]);
        }
        let its_own: Vec<IpAddr> = of_family.into_iter().filter(|address| way(machine, *address) != Way::Own).collect();
        let in_cidr = |address: IpAddr| all.iter().any(|node| node.pod_cidrs.iter().any(|cidr| cidr.contains(address)));
        for address in &its_own {
            match way(machine, *address) {
                Way::Straight => return Ok((*address, "direct")),
                Way::Gateway(via) if node.addresses.contains(&via) && !in_cidr(*address) => return Ok((via, "onlink")),
                _ => {}
            }
        }
        let mut first: Option<&'static [&'static str]> = None;
        for address in &its_own {
            let reasons: &'static [&'static str] = match way(machine, *address) {
                _ if in_cidr(*address) => &["address-in-pod-cidr"],
                Way::Gateway(via) if self.config.by_routers => return Ok((via, "router")),
                Way::Gateway(_) => &["other-segment"],
                Way::None(reasons) => reasons,
                Way::Straight | Way::Own => &["other-segment"],
            };
            first = first.or(Some(reasons));
        }
        Err(first.unwrap_or(&["own-address"]))
    }
}

fn is_near(machine: &Host, address: IpAddr) -> bool {
    let in_subnet = |own: &netlink::Address| {
        let host = if own.address.is_ipv4() { 32 } else { 128 };
        own.address.prefix() < host && own.address.contains(address) && !own.link_scope
    };
    way(machine, address) == Way::Straight || machine.kernel.addresses.iter().any(in_subnet)
}

fn way(machine: &Host, address: IpAddr) -> Way {
    if machine.kernel.has_address(address) {
        return Way::Own;
    }
    match machine.kernel.lookup(address) {
        Ok(route) if route.protocol == NODE_ROUTE => Way::None(&["overlaps", "address-in-pod-cidr"]),
        Ok(route) if route.kind == RouteKind::Unicast => {
            let is_pods = |device: &u32| machine.kernel.links.get(device).is_none_or(|link| is_pod_link(&link.name));
            match route.gateway {
                Some(gateway) => Way::Gateway(gateway),
                None if route.device.as_ref().is_some_and(is_pods) => Way::None(&["overlaps", "address-in-pod-cidr"]),
                None => Way::Straight,
            }
        }
        Ok(_) => Way::None(&["no-host-address", "own-address", "next-hop-unknown"]),
        Err(nix::errno::Errno::ENETUNREACH) => Way::None(&["other-segment", "link-down"]),
        Err(_) => Way::None(&["no-way"]),
    }
}

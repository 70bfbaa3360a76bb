//! Whose paths are probed: each peer to whose pods there is a route, once for each family.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::Action;
use netlink::Family;
use probes::machine::{OwnAddress, Peer, Wanted};
use routes::desired::own_cidrs;
use routes::reconcile::Reconciler;
use routes::{Key, Target};

/// What was ordered last.
#[derive(Default)]
pub(super) struct ProbeOrder(Option<Wanted>);

impl ProbeOrder {
    /// Orders the probes of the peers as they are now. `pods_mtu` is the MTU that pods inherit.
    pub(super) fn set(&mut self, me: &str, reconciler: &Reconciler, pods_mtu: Option<u32>, actions: &mut Vec<Action>) {
        let wanted = wanted(me, reconciler, pods_mtu);
        if self.0.as_ref() != Some(&wanted) {
            self.0 = Some(wanted.clone());
            actions.push(Action::Probe(wanted));
        }
    }
}

fn wanted(me: &str, reconciler: &Reconciler, pods_mtu: Option<u32>) -> Wanted {
    let snapshot = reconciler.in_force();
    let addresses: BTreeMap<&str, &[IpAddr]> =
        snapshot.nodes.iter().rev().map(|node| (&*node.name, &*node.addresses)).collect();
    let node_address = |name: &str, family: Family| {
        addresses.get(name).and_then(|all| all.iter().copied().find(|address| family.holds(*address)))
    };
    let own = own_cidrs(snapshot, me);
    let own = Family::BOTH.map(|family| match own.iter().find(|cidr| family.holds(cidr.ip())) {
        None => OwnAddress::NoPods,
        Some(cidr) => ipam::probe_address(cidr).map_or(OwnAddress::NoRoom, OwnAddress::At),
    });
    let mut listed = BTreeSet::new();
    let mut peers = Vec::new();
    for verdict in reconciler.verdicts().iter().filter(|verdict| &*verdict.node != me) {
        let Some(cidr) = verdict.cidr else { continue };
        let Some(Target::Hop { via, link, .. }) = reconciler.desired().get(&Key::peer(cidr)) else { continue };
        let family = Family::of(cidr.ip());
        // The first pod CIDR of a family stands for all of the node's.
        if !listed.insert((verdict.node.clone(), family)) {
            continue;
        }
        let node = node_address(&verdict.node, family);
        let link_mtu = reconciler.here().links.get(link).map(|link| link.mtu);
        let is_neighbour = addresses.get(&*verdict.node).is_some_and(|all| all.contains(via));
        peers.push(peer(verdict.node.clone(), cidr, node, [link_mtu, pods_mtu], is_neighbour));
    }
    peers.sort_by(|one, other| (&one.name, one.family).cmp(&(&other.name, other.family)));
    let is_here = |address: &IpAddr| reconciler.here().is_own(*address);
    let node = Family::BOTH.map(|family| node_address(me, family).filter(is_here));
    Wanted { me: me.into(), own, node, peers: Arc::new(peers) }
}

fn peer(name: Arc<str>, cidr: IpNetwork, node: Option<IpAddr>, mtus: [Option<u32>; 2], on_link: bool) -> Arc<Peer> {
    const DEFAULT: u32 = 1500;
    Arc::new(Peer {
        name,
        probe: ipam::probe_address(&cidr),
        family: Family::of(cidr.ip()),
        node,
        mtu: mtus.into_iter().flatten().min().unwrap_or(DEFAULT),
        on_link,
    })
}

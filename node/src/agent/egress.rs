//! What the packet filter is told of the cluster. Who is inside of it, for the masquerade: before a route leads to somebody
//! new, and after one has gone. And which packets this node forwards between pods.

use ipnetwork::IpNetwork;

use super::{Agent, Task};
use crate::packet_filter::{Egress, Forwarded, Sides, forward};
use crate::routes::desired::own_cidrs;
use crate::routes::reconcile::Reconciler;
use crate::routes::verdict::Ruling;
use crate::routes::{Key, Target};

/// Subnets outside of the cluster that pods reach with their own addresses all the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spared(pub(crate) Vec<IpNetwork>);

/// What is to be done about egress as long as no node is known.
pub(super) fn at_first(spared: Option<&Spared>) -> Egress {
    spared.map_or(Egress::Off, |_| Egress::Unknown)
}

impl Agent {
    /// What the kernel's routes do changes nobody's side.
    pub(super) fn tell_sides(&self, task: Task, reconciler: &Reconciler) {
        if let Some(spared) = self.egress.as_ref().filter(|_| ![Task::Heal, Task::Reconsider].contains(&task)) {
            self.packet_filter.lock().tell_sides(sides(spared, &self.settings.me, reconciler));
        }
    }

    pub(super) fn tell_forwarded(&self, reconciler: &Reconciler) {
        self.packet_filter.lock().tell_forwarded(forwarded(&self.settings.me, reconciler));
    }
}

/// This node's pods, and of each family one peer with the link that leads there.
pub(super) fn forwarded(me: &str, reconciler: &Reconciler) -> Forwarded {
    let own = own_cidrs(reconciler.in_force(), me).to_vec();
    let here = reconciler.here();
    let hop = |(key, target): (&Key, &Target)| match target {
        Target::Hop { link, .. } => Some((key.destination, here.link_name(*link))),
        Target::Unreachable | Target::Foreign => None,
    };
    let peer = |v6: bool| reconciler.desired().iter().filter_map(hop).find(|(peer, _)| peer.is_ipv6() == v6);
    let peers = [peer(false), peer(true)];
    let peers: Vec<_> = peers.iter().flatten().map(|(peer, link)| (*peer, &**link)).collect();
    Forwarded { packets: forward::packets(&own, &peers), own }
}

/// Every node that is known counts, whatever the verdict on it: those of the snapshot in force, and those of a later one
/// on which nothing is decided yet, or which is held.
fn sides(spared: &Spared, me: &str, reconciler: &Reconciler) -> Sides {
    let drained = reconciler.verdicts().iter().filter(|verdict| verdict.ruling == Ruling::Draining);
    let drained: Vec<IpNetwork> = drained.filter_map(|verdict| verdict.cidr).collect();
    let snapshots = || reconciler.snapshots();
    let own = snapshots().flat_map(|snapshot| own_cidrs(snapshot, me)).chain(&drained).copied();
    let nodes = || snapshots().flat_map(|snapshot| &snapshot.nodes);
    let pods = nodes().flat_map(|node| &node.pod_cidrs).copied();
    let addresses = nodes().flat_map(|node| &node.addresses).map(|address| IpNetwork::from(*address));
    let here = reconciler.here().addresses.iter().map(|(_, address)| address.ip());
    let here = here.filter(|address| !address.is_loopback()).map(IpNetwork::from);
    Sides::new(own, pods.chain(addresses).chain(here).chain(spared.0.iter().copied()))
}

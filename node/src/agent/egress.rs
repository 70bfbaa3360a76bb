//! Who is inside of the cluster, for the masquerade: told before a route leads to somebody new, and after one has gone.

use ipnetwork::IpNetwork;

use super::{Agent, Task};
use crate::packet_filter::{Egress, Sides};
use crate::routes::desired::own_cidrs;
use crate::routes::reconcile::Reconciler;
use crate::routes::verdict::Ruling;

/// Subnets outside of the cluster that pods reach with their own addresses all the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spared(pub(crate) Vec<IpNetwork>);

/// What is to be done about egress as long as no node is known.
pub(super) fn at_first(spared: Option<&Spared>) -> Egress {
    spared.map_or(Egress::Off, |_| Egress::Unknown)
}

impl Agent {
    /// A route that is put back changes nobody's side.
    pub(super) fn tell_sides(&self, task: Task, reconciler: &Reconciler) {
        if let Some(spared) = self.egress.as_ref().filter(|_| task != Task::Heal) {
            self.packet_filter.lock().tell_sides(sides(spared, &self.settings.me, reconciler));
        }
    }
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

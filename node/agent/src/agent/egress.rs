//! What the packet filter is told of the cluster. Who is inside of it, for the masquerade: before a route leads to somebody
//! new, and after one has gone. And which packets this node forwards between pods.

use std::time::Instant;

use ipnetwork::IpNetwork;
use netlink::Family;

use super::{Agent, SIDES, Task};
use filter::{Egress, Forwarded, Sides, forward};
use routes::desired::own_cidrs;
use routes::reconcile::Reconciler;
use routes::verdict::Ruling;
use routes::{Key, Target};
use source::Snapshot;

/// Subnets outside of the cluster that pods reach with their own addresses all the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct NoMasqueradeTo(pub(crate) Vec<IpNetwork>);

/// What is to be done about egress as long as no node is known.
pub(super) fn at_first(no_masquerade_to: Option<&NoMasqueradeTo>) -> Egress {
    no_masquerade_to.map_or(Egress::Off, |_| Egress::Unknown)
}

/// A snapshot that waits until its nodes are inside.
pub(super) struct Waiting {
    snapshot: Snapshot,
    /// The sides that have them.
    version: u64,
    pub(super) until: Instant,
}

impl Agent {
    /// Says who is inside now, with a snapshot that nobody has decided on yet; returns the version of what is wanted.
    pub(super) fn set_sides(&self, reconciler: &Reconciler, coming: Option<&Snapshot>) -> u64 {
        if let Some(no_masquerade_to) = &self.egress {
            let sides = sides(no_masquerade_to, &self.settings.me, reconciler, coming);
            self.desk.wanted.send_if_modified(|wanted| {
                let is_new = wanted.sides.as_ref() != Some(&sides);
                if is_new {
                    wanted.version += 1;
                    wanted.sides = Some(sides);
                }
                is_new
            });
        }
        self.desk.wanted.borrow().version
    }

    /// Waits until the sides of this version are in force, but no longer than routes may wait for it.
    pub(super) async fn in_force(&mut self, version: u64) {
        let in_force = self.desk.filtered.wait_for(|filtered| filtered.version >= version);
        if tokio::time::timeout(SIDES, in_force).await.is_err() {
            tracing::warn!("the packet filter does not answer; the routes do not wait for it any longer");
        }
    }

    /// Whether nothing waits, or what waits need not do so any longer.
    pub(super) fn is_inside(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| self.desk.filtered.borrow().version >= waiting.version)
    }

    /// Takes a new snapshot once its nodes are inside; true when that is at once.
    pub(super) fn learn_once_inside(&mut self, snapshot: Snapshot, reconciler: &mut Reconciler) -> bool {
        let version = self.set_sides(reconciler, Some(&snapshot));
        if self.desk.filtered.borrow().version >= version {
            self.waiting = None;
            self.learn(snapshot, reconciler);
            return true;
        }
        // However many come, the routes wait for the first one's time.
        let until = self.waiting.take().map_or_else(|| Instant::now() + SIDES, |waiting| waiting.until);
        self.waiting = Some(Waiting { snapshot, version, until });
        false
    }

    /// Takes the snapshot that waits, whatever is in force.
    pub(super) fn learn_what_waits(&mut self, reconciler: &mut Reconciler) -> Task {
        let Some(Waiting { snapshot, .. }) = self.waiting.take() else { return Task::Nothing };
        self.learn(snapshot, reconciler);
        Task::Everything
    }

    /// Once this node's CIDRs are others, what is leased from now on says whether a former one may go. Not after each
    /// snapshot: what goes with one snapshot is judged, and held, at once.
    fn learn(&mut self, snapshot: Snapshot, reconciler: &mut Reconciler) {
        self.note_own(&snapshot);
        reconciler.learn(snapshot);
    }

    pub(super) fn note_own(&mut self, snapshot: &Snapshot) {
        let own = own_cidrs(snapshot, &self.settings.me);
        if self.own != own {
            self.own = own.to_vec();
            self.judged_since = Instant::now();
        }
    }

    pub(super) fn set_forwarded(&self, reconciler: &Reconciler) {
        let forwarded = forwarded(&self.settings.me, reconciler);
        self.desk.wanted.send_if_modified(|wanted| {
            let is_new = wanted.forwarded.as_ref() != Some(&forwarded);
            wanted.forwarded = Some(forwarded);
            is_new
        });
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
    let peer = |family: Family| reconciler.desired().iter().filter_map(hop).find(|(peer, _)| family.holds(peer.ip()));
    let peers = Family::BOTH.map(peer);
    let peers: Vec<_> = peers.iter().flatten().map(|(peer, link)| (*peer, &**link)).collect();
    Forwarded { packets: forward::packets(&own, &peers), own }
}

/// Every node that is known counts, whatever the verdict on it: those of the snapshot in force, and those of a later one
/// on which nothing is decided yet, or which is held.
fn sides(no_masquerade_to: &NoMasqueradeTo, me: &str, reconciler: &Reconciler, coming: Option<&Snapshot>) -> Sides {
    let drained = reconciler.verdicts().iter().filter(|verdict| verdict.ruling == Ruling::Draining);
    let drained: Vec<IpNetwork> = drained.filter_map(|verdict| verdict.cidr).collect();
    let snapshots = || reconciler.snapshots().chain(coming);
    let own = snapshots().flat_map(|snapshot| own_cidrs(snapshot, me)).chain(&drained).copied();
    let nodes = || snapshots().flat_map(|snapshot| &snapshot.nodes);
    let pods = nodes().flat_map(|node| &node.pod_cidrs).copied();
    let addresses = nodes().flat_map(|node| &node.addresses).map(|address| IpNetwork::from(*address));
    let here = reconciler.here().addresses.iter().map(|(_, address)| address.ip());
    let here = here.filter(|address| !address.is_loopback()).map(IpNetwork::from);
    Sides::new(own, pods.chain(addresses).chain(here).chain(no_masquerade_to.0.iter().copied()))
}

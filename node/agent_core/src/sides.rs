//! What the packet filter must be like: whose pods are inside of the cluster, for the masquerade, before a route leads to
//! somebody new and after one has gone; and which packets this node forwards between pods.

use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use super::Action;
use filter::{Filtered, Forwarded, Sides, Wanted, forward};
use netlink::Family;
use nodes::Snapshot;
use routes::desired::own_cidrs;
use routes::reconcile::Reconciler;
use routes::verdict::Ruling;
use routes::{Key, Target};

/// How long a route waits for the packet filter.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was ordered from the packet filter last.
pub(super) struct FilterOrder {
    /// Subnets outside of the cluster that pods reach with their own addresses; none where nothing is masqueraded.
    no_masquerade_to: Option<Vec<IpNetwork>>,
    wanted: Wanted,
}

/// Waits until the packet filter acknowledges what it was given, but no longer than routes may wait for it.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    version: u64,
    until: Instant,
}

/// How a gate stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Closed,
    Open,
}

/// A snapshot that waits until its nodes are inside.
pub(super) struct Waiting {
    pub(super) snapshot: Snapshot,
    pub(super) gate: Gate,
}

impl FilterOrder {
    pub(super) fn new(no_masquerade_to: Option<Vec<IpNetwork>>) -> Self {
        Self { no_masquerade_to, wanted: Wanted::default() }
    }

    /// Orders the masquerade sets for what is known now, with a snapshot that nobody has decided on yet; returns the gate
    /// that waits for them.
    pub(super) fn set_sides(
        &mut self,
        me: &str,
        reconciler: &Reconciler,
        coming: Option<&Snapshot>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Gate {
        if let Some(no_masquerade_to) = &self.no_masquerade_to {
            let sides = sides(no_masquerade_to, me, reconciler, coming);
            if self.wanted.sides.as_ref() != Some(&sides) {
                self.wanted.version += 1;
                self.wanted.sides = Some(sides);
                actions.push(Action::Filter(self.wanted.clone()));
            }
        }
        Gate { version: self.wanted.version, until: now + PATIENCE }
    }

    /// Orders what others' rules must let pass.
    pub(super) fn set_forwarded(&mut self, me: &str, reconciler: &Reconciler, actions: &mut Vec<Action>) {
        let forwarded = forwarded(me, reconciler);
        if self.wanted.forwarded.as_ref() != Some(&forwarded) {
            self.wanted.forwarded = Some(forwarded);
            actions.push(Action::Filter(self.wanted.clone()));
        }
    }
}

impl Gate {
    /// However many snapshots come, the routes wait for the first one's time.
    pub(super) fn no_later_than(self, first: Option<&Waiting>) -> Self {
        Self { until: first.map_or(self.until, |waiting| waiting.gate.until.min(self.until)), ..self }
    }

    pub(super) fn until(self) -> Instant {
        self.until
    }

    pub(super) fn passage(self, filtered: &Filtered, now: Instant) -> Passage {
        if filtered.version >= self.version {
            return Passage::Open;
        }
        if self.until > now {
            return Passage::Closed;
        }
        tracing::warn!("the packet filter does not answer; the routes do not wait for it any longer");
        Passage::Open
    }
}

/// This node's pods, and of each family one peer with the link that leads there.
fn forwarded(me: &str, reconciler: &Reconciler) -> Forwarded {
    let own = own_cidrs(reconciler.in_force(), me).to_vec();
    let here = reconciler.here();
    let hop = |(key, target): (&Key, &Target)| match target {
        Target::Hop { link, .. } => Some((key.destination, here.link_name(*link))),
        Target::Unreachable | Target::Foreign => None,
    };
    let peer = |family: Family| reconciler.desired().iter().filter_map(hop).find(|(peer, _)| family.holds(peer.ip()));
    let peers = Family::BOTH.map(peer);
    let peers: Vec<_> = peers.iter().flatten().map(|(peer, link)| (*peer, &**link)).collect();
    Forwarded { packets: forward::packets(&own, &peers, &[]), own }
}

/// Every node that is known counts, whatever the verdict on it: those of the snapshot in force, and those of a later one
/// on which nothing is decided yet, or which is held.
fn sides(no_masquerade_to: &[IpNetwork], me: &str, reconciler: &Reconciler, coming: Option<&Snapshot>) -> Sides {
    let drained = reconciler.verdicts().iter().filter(|verdict| verdict.ruling == Ruling::Draining);
    let drained: Vec<IpNetwork> = drained.filter_map(|verdict| verdict.cidr).collect();
    let snapshots = || reconciler.snapshots().chain(coming);
    let own = snapshots().flat_map(|snapshot| own_cidrs(snapshot, me)).chain(&drained).copied();
    let nodes = || snapshots().flat_map(|snapshot| &snapshot.nodes);
    let pods = nodes().flat_map(|node| &node.pod_cidrs).copied();
    let addresses = nodes().flat_map(|node| &node.addresses).map(|address| IpNetwork::from(*address));
    let here = reconciler.here().addresses.iter().map(|(_, address)| address.ip());
    let here = here.filter(|address| !address.is_loopback()).map(IpNetwork::from);
    Sides::new(own, pods.chain(addresses).chain(here).chain(no_masquerade_to.iter().copied()))
}

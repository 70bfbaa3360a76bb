//! This node in the cluster, for the part that looks after the files, and what the leases are looked at for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use cni::NetworkName;
use ipnetwork::IpNetwork;

use super::known::Known;
use crate::describe::unready;
use crate::host_source::host_source;
use install::housekeeping::Position;
use pods::leases::Asked;
use routes::reconcile::Reconciler;
use routes::verdict::Ruling;

/// The position by the last turn; `sources` are this node's own addresses in the kernel's order.
pub(super) fn position(known: &Known, reconciler: &Reconciler, sources: &[IpAddr]) -> Position {
    let me = &known.settings.me;
    let snapshot = reconciler.in_force();
    let internal = snapshot.nodes.iter().find(|node| node.name == *me).map_or(&[][..], |node| &node.addresses);
    let others = snapshot.nodes.iter().filter(|node| node.name != *me);
    let others = others.flat_map(|node| node.pod_cidrs.iter().map(|cidr| (node.name.clone(), *cidr)));
    Position {
        others: others.collect(),
        own: own(me, reconciler, &Ruling::Own),
        draining: own(me, reconciler, &Ruling::Draining),
        leased: known.parts.lease_counts.addresses(),
        host_source: host_source(internal, sources),
        routed: unready(reconciler, me).is_empty() && known.admits_pods(),
    }
}

/// For which pools the leases are counted, by a look that begins no earlier than `since`.
pub(super) fn leases(known: &Known, reconciler: &Reconciler, since: Option<Instant>) -> Asked {
    let cidrs = own(&known.settings.me, reconciler, &Ruling::Own);
    let network = NetworkName::parse(&known.network).ok().filter(|_| known.writes_conflist);
    Asked { since, pools: network.map(|network| (network, cidrs)) }
}

/// The CIDRs of this node with such a verdict.
fn own(me: &Arc<str>, reconciler: &Reconciler, ruling: &Ruling) -> Vec<IpNetwork> {
    let verdicts = reconciler.verdicts().iter();
    let mine = verdicts.filter(|verdict| verdict.node == *me && verdict.ruling == *ruling);
    mine.filter_map(|verdict| verdict.cidr).collect()
}

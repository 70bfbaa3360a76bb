//! The MTU that pods inherit, and what the agent says of pods that keep a former one.

use std::collections::BTreeSet;

use netlink::{MTU, Socket, inherited_mtu};

use super::Agent;
use pods::mtu::remember;
use routes::Target;
use routes::reconcile::Reconciler;

/// The smallest MTU of the links by which the nodes are reached.
fn of_nodes(reconciler: &Reconciler) -> Option<u32> {
    let links: BTreeSet<u32> = reconciler.desired().values().filter_map(Target::link).collect();
    let links = links.iter().filter_map(|link| reconciler.here().links.get(link));
    links.map(|link| link.mtu).filter(|mtu| MTU.contains(mtu)).min()
}

impl Agent {
    /// Looks which MTU pods inherit now. The plugin reads the last one from the state: before it is asked for a pod, the
    /// state has it.
    pub(super) fn remember_mtu(&mut self, reconciler: &Reconciler) {
        let look = || -> Result<_, netlink::Error> {
            let mut host = Socket::open()?;
            let now = inherited_mtu(&mut host, || of_nodes(reconciler))?;
            // A plugin without the agent's file gives this one.
            Ok((inherited_mtu(&mut host, || None)?, now))
        };
        match look() {
            Ok((alone, now)) => {
                remember(&mut self.state.pod_mtus, alone.mtu);
                remember(&mut self.state.pod_mtus, now.mtu);
                if self.inherited_mtu.as_ref() != Some(&now) {
                    tracing::info!(mtu = now.mtu, of = %now.of, "the MTU that pods inherit");
                    self.inherited_mtu = Some(now);
                }
            }
            // The next look may say more.
            Err(error) => tracing::warn!(%error, "the MTU that pods inherit could not be looked at"),
        }
    }
}

/// For the operator.
pub(super) fn former(kept: &[String]) -> Option<String> {
    let first = kept.first()?;
    Some(format!(
        "{} pods keep a former MTU of this node's: make them anew, or run `podlan-node doctor --fix` as root of the node; \
         the first is {first}",
        kept.len(),
    ))
}

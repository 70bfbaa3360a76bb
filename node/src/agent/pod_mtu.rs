//! Has pods that live follow the node's MTU, and tells of those that cannot.

use std::collections::BTreeSet;

use netlink::{MTU, Socket, inherited_mtu};

use super::Agent;
use crate::mtu::{Followed, Whose, follow, remember};
use crate::routes::Target;
use crate::routes::reconcile::Reconciler;

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

    /// Has the pods follow that inherited another MTU since the node booted. True when there is news to tell.
    pub(super) fn follow_mtu(&mut self) -> bool {
        let former_mtu = match self.followed() {
            Ok(Followed { changed, kept }) => {
                let mtu = self.state.pod_mtus.last();
                changed.iter().for_each(|pod| tracing::info!(pod, mtu, "the pod has the node's MTU now"));
                kept
            }
            // The next look may say more.
            Err(error) => {
                tracing::warn!(%error, "the MTU of pods could not be looked at");
                return false;
            }
        };
        for why in former_mtu.iter().filter(|why| !self.former_mtu.contains(why)) {
            tracing::warn!(pod = %why, "the pod keeps a former MTU of the node's");
        }
        let news = self.former_mtu != former_mtu;
        self.former_mtu = former_mtu;
        news
    }

    fn followed(&mut self) -> Result<Followed, String> {
        let Some((&now, former)) = self.state.pod_mtus.split_last() else { return Ok(Followed::default()) };
        let chosen = self.upkeep.install.chosen_mtus().map_err(|error| format!("failed to {error}"))?;
        let stores = std::slice::from_ref(&self.upkeep.stores);
        follow(stores, now, Whose::Inherited(former), &chosen).map_err(|error| error.to_string())
    }

    /// For the operator.
    pub(super) fn told_former_mtu(&self) -> Option<String> {
        let first = self.former_mtu.first()?;
        Some(format!(
            "{} pods keep a former MTU of this node's: make them anew, or run `podlan-node doctor --fix` as root of the \
             node; the first is {first}",
            self.former_mtu.len(),
        ))
    }
}

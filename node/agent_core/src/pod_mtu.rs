//! The MTU that pods inherit, and what the agent reports of pods that keep a former one.

use std::collections::BTreeSet;

use netlink::{InheritedMtu, MTU};

use super::event::MtuLook;
use pods::mtu::remember;
use routes::Target;
use routes::reconcile::Reconciler;

/// The smallest MTU of the links by which the nodes are reached.
pub(super) fn of_nodes(reconciler: &Reconciler) -> Option<u32> {
    let links: BTreeSet<u32> = reconciler.desired().values().filter_map(Target::link).collect();
    let links = links.iter().filter_map(|link| reconciler.here().links.get(link));
    links.map(|link| link.mtu).filter(|mtu| MTU.contains(mtu)).min()
}

/// What pods inherit, and where it comes from.
#[derive(Default)]
pub(super) struct PodMtu(Option<InheritedMtu>);

impl PodMtu {
    /// Takes in a look. The plugin reads the last MTU from the state: `since_boot`, which the state holds, has it before the
    /// plugin is asked for a pod.
    pub(super) fn take(&mut self, look: Result<MtuLook, netlink::Error>, since_boot: &mut Vec<u32>) {
        match look {
            Ok(MtuLook { alone, now }) => {
                remember(since_boot, alone.mtu);
                remember(since_boot, now.mtu);
                if self.0.as_ref() != Some(&now) {
                    tracing::info!(mtu = now.mtu, of = %now.of, "the MTU that pods inherit");
                    self.0 = Some(now);
                }
            }
            // The next look may succeed.
            Err(error) => tracing::warn!(%error, "the MTU that pods inherit could not be looked at"),
        }
    }
}

/// A warning for the operator.
pub(super) fn former(kept: &[String]) -> Option<String> {
    let first = kept.first()?;
    Some(format!(
        "{} pods keep a former MTU of this node's: restart them, or run `podlan-node doctor --fix` as root of the node; \
         the first is {first}",
        kept.len(),
    ))
}

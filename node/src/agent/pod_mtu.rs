//! Has pods that live follow the node's MTU, and tells of those that cannot.

use netlink::{Socket, inherited_mtu};

use super::Agent;
use crate::mtu::{Followed, Whose, follow, remember};

impl Agent {
    /// Looks which MTU pods inherit now, and has those follow that inherited another since the node booted. True when
    /// there is news to tell.
    pub(super) fn follow_mtu(&mut self) -> bool {
        let known = self.state.pod_mtus.clone();
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
        let news = known != self.state.pod_mtus || self.former_mtu != former_mtu;
        self.former_mtu = former_mtu;
        news
    }

    fn followed(&mut self) -> Result<Followed, String> {
        let now = Socket::open().and_then(|mut host| inherited_mtu(&mut host)).map_err(|error| error.to_string())?;
        remember(&mut self.state.pod_mtus, now);
        let Some((_, former)) = self.state.pod_mtus.split_last() else { return Ok(Followed::default()) };
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

//! Has pods that live follow the node's MTU, whenever that is asked for. A part of the agent: it enters namespaces and reads
//! files.

use netlink::{Socket, inherited_mtu};
use tokio::sync::watch;

use super::{Followed, Whose, follow, remember};
use crate::agent::part::{Activity, Output};
use crate::install::Install;
use crate::leases::Stores;

/// What the agent is given for the MTU of its pods.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) install: Install,
    pub(crate) stores: Stores,
    /// Each number asks for a look; none is needed before the first.
    pub(crate) asked: watch::Receiver<u64>,
    pub(crate) output: Output<PodMtus>,
}

/// How the MTU of pods stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodMtus {
    /// Those that pods of this node inherited since it booted, the present one last.
    pub(crate) since_boot: Vec<u32>,
    /// Pods whose links keep a former one, and why.
    pub(crate) kept: Vec<String>,
}

/// Looks each time that it is asked to; ends when nobody asks any more.
pub(crate) async fn keep(mut options: Options, activity: Activity) -> String {
    if *options.asked.borrow() > 0 {
        options.asked.mark_changed();
    }
    while options.asked.changed().await.is_ok() {
        options.asked.borrow_and_update();
        let _begun = activity.begin("the MTU of pods");
        let mut mtus = options.output.latest(Clone::clone);
        match followed(&options, &mut mtus.since_boot) {
            Ok(Followed { changed, kept }) => {
                let mtu = mtus.since_boot.last();
                changed.iter().for_each(|pod| tracing::info!(pod, mtu, "the pod has the node's MTU now"));
                for why in kept.iter().filter(|why| !mtus.kept.contains(why)) {
                    tracing::warn!(pod = %why, "the pod keeps a former MTU of the node's");
                }
                mtus.kept = kept;
            }
            // The next look may say more.
            Err(error) => tracing::warn!(%error, "the MTU of pods could not be looked at"),
        }
        options.output.set(mtus);
    }
    "nobody asks for the MTU of pods any more".to_owned()
}

fn followed(options: &Options, since_boot: &mut Vec<u32>) -> Result<Followed, String> {
    let now = Socket::open().and_then(|mut host| inherited_mtu(&mut host)).map_err(|error| error.to_string())?;
    remember(since_boot, now);
    let Some((_, former)) = since_boot.split_last() else { return Ok(Followed::default()) };
    let chosen = options.install.chosen_mtus().map_err(|error| format!("failed to {error}"))?;
    let stores = std::slice::from_ref(&options.stores);
    follow(stores, now, Whose::Inherited(former), &chosen).map_err(|error| error.to_string())
}

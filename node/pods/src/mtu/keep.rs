//! Has pods that live follow the node's MTU, whenever that is asked for. A part of the agent: it enters namespaces and reads
//! files.

use tokio::sync::watch;

use super::{Followed, Whose, follow};
use crate::leases::Stores;
use install::Install;
use parts::{Activity, Output};

/// What the agent is given for the MTU of its pods.
#[derive(Clone)]
pub struct Options {
    /// By whose configuration directory networks are known that chose an MTU.
    pub install: Install,
    /// By whose leases the pods are known.
    pub stores: Stores,
    /// The MTUs that pods inherited since this node booted, the present one last. Each message asks for a look; none is
    /// needed before the first.
    pub asked: watch::Receiver<Vec<u32>>,
    /// Pods whose links keep a former MTU, and why.
    pub output: Output<Vec<String>>,
}

/// Looks each time that it is asked to; ends when nobody asks any more.
pub async fn keep(mut options: Options, activity: Activity) -> String {
    if !options.asked.borrow().is_empty() {
        options.asked.mark_changed();
    }
    while options.asked.changed().await.is_ok() {
        let since_boot = options.asked.borrow_and_update().clone();
        let _begun = activity.begin("the MTU of pods");
        match followed(&options, &since_boot) {
            Ok(Followed { changed, kept }) => {
                let mtu = since_boot.last();
                changed.iter().for_each(|pod| tracing::info!(pod, mtu, "the pod has the node's MTU now"));
                let before = options.output.latest(Clone::clone);
                for why in kept.iter().filter(|why| !before.contains(why)) {
                    tracing::warn!(pod = %why, "the pod keeps a former MTU of the node's");
                }
                options.output.set(kept);
            }
            // The next look may say more.
            Err(error) => tracing::warn!(%error, "the MTU of pods could not be looked at"),
        }
    }
    "nobody asks for the MTU of pods any more".to_owned()
}

fn followed(options: &Options, since_boot: &[u32]) -> Result<Followed, String> {
    let Some((&now, former)) = since_boot.split_last() else { return Ok(Followed::default()) };
    let chosen = options.install.chosen_mtus().map_err(|error| format!("failed to {error}"))?;
    let stores = std::slice::from_ref(&options.stores);
    follow(stores, now, Whose::Inherited(former), &chosen).map_err(|error| error.to_string())
}

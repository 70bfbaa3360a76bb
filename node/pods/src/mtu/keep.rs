//! Has living pods follow the node's MTU, whenever the loop asks. A part of the agent: it enters namespaces and reads files.
//!
//! `machine` decides; this is its shell, which waits, changes the links and publishes.

mod machine;

use tokio::sync::watch;

use self::machine::{Action, Event, Machine, Notice};
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

/// Looks each time that the loop asks; ends when it does not ask any more.
pub async fn keep(mut options: Options, activity: Activity) -> String {
    if !options.asked.borrow().is_empty() {
        options.asked.mark_changed();
    }
    let mut machine = Machine::new(options.output.latest(Clone::clone));
    while options.asked.changed().await.is_ok() {
        let since_boot = options.asked.borrow_and_update().clone();
        let _begun = activity.begin("the MTU of pods");
        let mut events = vec![Event::Asked(since_boot)];
        while let Some(event) = events.pop() {
            for action in machine.on(event) {
                match action {
                    Action::Follow { number, now, former } => {
                        events.push(Event::Followed(number, followed(&options, now, &former)));
                    }
                    Action::Publish(kept) => options.output.set(kept),
                    Action::Log(notice) => log(&notice),
                }
            }
        }
    }
    "nobody asks for the MTU of pods any more".to_owned()
}

fn followed(options: &Options, now: u32, former: &[u32]) -> Result<Followed, String> {
    let chosen = options.install.chosen_mtus().map_err(|error| format!("failed to {error}"))?;
    let stores = std::slice::from_ref(&options.stores);
    follow(stores, now, Whose::Inherited(former), &chosen).map_err(|error| error.to_string())
}

fn log(notice: &Notice) {
    match notice {
        Notice::Changed { pod, mtu } => tracing::info!(pod, mtu, "the pod has the node's MTU now"),
        Notice::Kept(why) => tracing::warn!(pod = %why, "the pod keeps a former MTU of the node's"),
        // The next look may say more.
        Notice::NotLooked(error) => tracing::warn!(error, "the MTU of pods could not be looked at"),
    }
}

//! Looks after the leases: at the start, when a pod may have ended, when the loop asks, and at intervals whatever the events
//! say. Runtimes may forget a DEL, and containerd never calls GC. A part of the agent.
//!
//! `machine` decides; this is its shell, which waits, has the stores swept by [`Workers`], and publishes.

mod found;
pub(super) mod interface;
mod machine;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cni::NetworkName;
use ipam::Place;
use ipnetwork::IpNetwork;
use tokio::sync::watch;

use self::interface::{Action, Event, Job, Looked};
use self::machine::Machine;
use super::lease_counts::LeaseCounts;
use super::sweep::{Rooms, SweepError, rooms, sweep};
use super::visible_netns::VisibleNetns;
use super::wakeups::{Directories, Wakeups};
use super::workers::Workers;
use super::{Stores, place};
use parts::{Activity, Output, at};

/// What the agent is given for its leases.
#[derive(Clone)]
pub struct Options {
    /// The stores.
    pub stores: Stores,
    /// How often they are swept, whatever events say.
    pub every: Duration,
    /// How many leases were taken back; it outlives a part that is started again.
    pub reclaimed: Arc<AtomicU64>,
    /// What the loop wants to know.
    pub asked: watch::Receiver<Asked>,
    /// What the stores hold.
    pub output: Output<LeaseCounts>,
}

/// A network, and the pools that the agent gives it.
pub(crate) type Pools = (NetworkName, Vec<IpNetwork>);

/// What the loop wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What a sweep finds that began no earlier.
    pub since: Option<Instant>,
    /// How full these pools of a network are.
    pub pools: Option<Pools>,
}

/// Looks after the leases for ever; ends when the loop no longer asks for them.
pub async fn keep(options: Options, activity: Activity) -> String {
    let Options { stores, every, reclaimed, mut asked, output } = options;
    asked.mark_changed();
    let mut machine = Machine::new(every, Instant::now());
    let mut workers = Workers::new();
    let mut wakeups: Option<Wakeups> = None;
    let mut _begun = None;
    loop {
        let event = tokio::select! {
            biased;
            changed = asked.changed() => match changed {
                Ok(()) => Event::Asked(asked.borrow_and_update().clone()),
                Err(_closed) => return "nobody asks for the leases any more".to_owned(),
            },
            (job, looked) = workers.done() => answer(job, looked),
            () = at(machine.due()) => Event::Tick,
            wakeup = next_wakeup(wakeups.as_mut()) => match wakeup {
                Ok(()) => Event::Woken,
                Err(error) => {
                    tracing::warn!(%error, "the kernel's events broke off; listening again");
                    wakeups = None;
                    Event::Deaf
                }
            },
        };
        let mut results = VecDeque::from([event]);
        while let Some(event) = results.pop_front() {
            for action in machine.on(event, Instant::now()) {
                match action {
                    Action::Listen => {
                        wakeups = listen();
                        results.push_back(Event::Listening(wakeups.is_some()));
                    }
                    Action::List(number) => {
                        _begun = Some(activity.begin(format!("the leases below {}", stores.data_dir().display())));
                        let listed = ipam::network_directories(stores.data_dir());
                        results.push_back(Event::Listed(number, listed.map_err(|error| error.to_string())));
                    }
                    Action::LookAt(job, visible, pools) => {
                        let directories = wakeups.as_ref().map(Wakeups::directories);
                        let work = look(job.clone(), visible, pools, directories, reclaimed.clone());
                        if let Err(error) = workers.start(job.clone(), work) {
                            results.push_back(Event::Looked(job, Looked::Failed(format!("start a thread: {error}"))));
                        }
                    }
                    Action::Publish(counts) => {
                        _begun = None;
                        output.set(LeaseCounts { reclaimed: reclaimed.load(Ordering::Relaxed), ..counts });
                    }
                }
            }
        }
    }
}

fn answer(job: Job, looked: Option<Result<Looked, SweepError>>) -> Event {
    let looked = match looked {
        Some(Ok(looked)) => looked,
        Some(Err(error)) => Looked::Failed(error.to_string()),
        None => Looked::Failed(format!("a look at {} panicked", job.directory.display())),
    };
    Event::Looked(job, looked)
}

fn listen() -> Option<Wakeups> {
    let failed = |error: &io::Error| {
        tracing::debug!(%error, "pods that end are noticed late: the kernel cannot be listened to");
    };
    Wakeups::open().inspect_err(failed).ok()
}

async fn next_wakeup(wakeups: Option<&mut Wakeups>) -> io::Result<()> {
    match wakeups {
        Some(wakeups) => wakeups.next().await,
        None => std::future::pending().await,
    }
}

/// What is done for one store, on a thread of its own.
fn look(
    job: Job,
    mut visible: VisibleNetns,
    pools: Option<Pools>,
    directories: Option<Directories>,
    reclaimed: Arc<AtomicU64>,
) -> impl FnOnce() -> Result<Looked, SweepError> + Send + 'static {
    move || {
        let Some(place) = place(&job.directory)? else { return Ok(Looked::Nothing) };
        let mut removed = |lease: &ipam::Lease| {
            reclaimed.fetch_add(1, Ordering::Relaxed);
            tracing::info!(address = %lease.address.ip(), owner = %lease.owner.container_id, "dead lease taken back");
        };
        let swept = sweep(&place, &mut visible, &mut removed)?;
        if let Some(directories) = directories {
            directories.listen_to(&swept.directories);
        }
        Ok(Looked::Network { rooms: asked_rooms(&place, pools), swept, visible })
    }
}

fn asked_rooms(place: &Place, pools: Option<Pools>) -> Option<Rooms> {
    let (network, cidrs) = pools.filter(|(network, _)| *network == place.network)?;
    rooms(&place.data_dir, &network, &cidrs).ok()
}

//! Looks after the leases: at the start, when a pod may have ended, when that is asked for, and once in a while whatever was
//! heard. Runtimes may forget a DEL, and containerd never calls GC. A part of the agent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cni::NetworkName;
use ipam::Place;
use ipnetwork::IpNetwork;
use tokio::sync::watch;
use tokio::time::sleep;

use super::lease_counts::{Known, LeaseCounts};
use super::sweep::{Room, SweepError, Swept, room, sweep};
use super::visible_netns::{Id, VisibleNetns};
use super::wakeups::Wakeups;
use super::workers::{WorkResult, Workers};
use super::{Stores, place};
use parts::{Activity, Output};

/// How long after an end was heard of to look: the kernel takes a namespace apart piece by piece, and a DEL under way gives
/// its lease back last.
const SETTLE: Duration = Duration::from_millis(50);

/// When to look once more: a DEL may have been slow, or the store busy.
const AGAIN: Duration = Duration::from_secs(1);

/// How long one network may keep the others waiting.
const TURN: Duration = Duration::from_secs(1);

/// What the agent is given for its leases.
#[derive(Clone)]
pub struct Options {
    /// The stores.
    pub stores: Stores,
    /// How often they are looked at, whatever events say.
    pub every: Duration,
    /// How many leases were taken back; it outlives a part that is started again.
    pub reclaimed: Arc<AtomicU64>,
    /// What the loop wants to know.
    pub asked: watch::Receiver<Asked>,
    /// How the leases stand.
    pub output: Output<LeaseCounts>,
}

/// What the loop wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A look that began no earlier.
    pub since: Option<Instant>,
    /// How full these pools of a network are.
    pub pools: Option<(NetworkName, Vec<IpNetwork>)>,
}

/// What was found in one directory.
enum Found {
    /// No store of any network.
    Nothing,
    Network {
        swept: Swept,
        room: Option<Room>,
        visible: VisibleNetns,
    },
}

struct Keeper {
    options: Options,
    workers: Workers<Result<Found, SweepError>>,
    wakeups: Option<Wakeups>,
    visible: VisibleNetns,
    /// The addresses of each network when it was last read.
    addresses: BTreeMap<PathBuf, Arc<[IpAddr]>>,
}

/// Looks after the leases for ever; ends when nobody asks how they stand.
pub async fn keep(options: Options, activity: Activity) -> String {
    let mut asked = options.asked.clone();
    let every = options.every;
    let mut keeper = Keeper {
        options,
        workers: Workers::new(),
        wakeups: None,
        visible: VisibleNetns::default(),
        addresses: BTreeMap::new(),
    };
    let mut next = every;
    loop {
        keeper.listen();
        let lease_counts = {
            let _begun = activity.begin(format!("the leases below {}", keeper.options.stores.data_dir().display()));
            keeper.look().await
        };
        // A store at work or a slow DEL is seen to soon.
        let wait = if lease_counts.warnings.is_empty() && keeper.wakeups.is_some() { next } else { AGAIN.min(every) };
        keeper.options.output.set(lease_counts);
        next = tokio::select! {
            changed = asked.changed() => match changed {
                Ok(()) => every,
                Err(_closed) => return "nobody asks for the leases any more".to_owned(),
            },
            heard = hear(keeper.wakeups.as_mut()) => {
                match heard {
                    Ok(()) => sleep(SETTLE).await,
                    Err(error) => {
                        tracing::warn!(%error, "the kernel's events broke off; listening again");
                        sleep(AGAIN).await;
                        keeper.wakeups = None;
                    }
                }
                AGAIN
            }
            () = sleep(wait) => every,
        };
    }
}

async fn hear(wakeups: Option<&mut Wakeups>) -> std::io::Result<()> {
    match wakeups {
        Some(wakeups) => wakeups.hear().await,
        None => std::future::pending().await,
    }
}

impl Keeper {
    fn listen(&mut self) {
        if self.wakeups.is_none() {
            match Wakeups::open() {
                Ok(wakeups) => self.wakeups = Some(wakeups),
                Err(error) => {
                    tracing::debug!(%error, "pods that end are noticed late: the kernel cannot be listened to")
                }
            }
        }
    }

    async fn look(&mut self) -> LeaseCounts {
        let mut lease_counts = LeaseCounts { begun: Some(Instant::now()), ..LeaseCounts::default() };
        let directories = match ipam::network_directories(self.options.stores.data_dir()) {
            Ok(directories) => directories,
            Err(error) => {
                lease_counts.reclaimed = self.options.reclaimed.load(Ordering::Relaxed);
                lease_counts.warnings.push(format!("failed to look after the leases: {error}"));
                return lease_counts;
            }
        };
        lease_counts.is_listed = true;
        self.workers.retain(|path| directories.iter().any(|there| there == path));
        self.addresses.retain(|path, _| directories.contains(path));
        let mut unseen = BTreeMap::new();
        for directory in directories {
            self.look_at(&directory, &mut lease_counts, &mut unseen).await;
        }
        lease_counts.reclaimed = self.options.reclaimed.load(Ordering::Relaxed);
        // Another network's pods may have shown the directory since.
        unseen.retain(|directory: &PathBuf, id| !self.visible.saw(directory, *id));
        lease_counts.warnings.extend(unseen.keys().map(|directory| {
            format!(
                "the pods' network namespaces in {} cannot be seen, so that no dead lease of theirs is taken back \
                 (in a container: mount it with HostToContainer propagation)",
                directory.display()
            )
        }));
        lease_counts
    }

    async fn look_at(
        &mut self,
        directory: &Path,
        lease_counts: &mut LeaseCounts,
        unseen: &mut BTreeMap<PathBuf, Option<Id>>,
    ) {
        let work = self.work(directory);
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let outcome = self.workers.work(directory, TURN, work).await;
        let why = match outcome {
            WorkResult::Done(Ok(Found::Nothing)) => {
                self.addresses.remove(directory);
                return;
            }
            WorkResult::Done(Ok(Found::Network { swept, room, visible })) => {
                self.visible.learn(visible);
                unseen.extend(swept.unseen);
                let addresses: Arc<[IpAddr]> = swept.addresses.into();
                self.addresses.insert(directory.to_owned(), addresses.clone());
                lease_counts.stores.push(Known {
                    network: swept.counts.network.clone(),
                    addresses: Some(addresses),
                    is_read: true,
                });
                lease_counts.room =
                    lease_counts.room.take().or_else(|| room.map(|room| (swept.counts.network.clone(), room)));
                lease_counts.leases.push(swept.counts);
                return;
            }
            WorkResult::Done(Err(error)) => error.to_string(),
            WorkResult::Late => format!("{} does not answer", directory.display()),
            WorkResult::Failed => format!("a look at {} panicked", directory.display()),
            WorkResult::NoThread(error) => format!("start a thread: {error}"),
        };
        lease_counts.warnings.push(format!("failed to look after the leases of {name}: {why}"));
        let addresses = self.addresses.get(directory).cloned();
        lease_counts.stores.push(Known { network: name, addresses, is_read: false });
    }

    /// What is done for one network, on a thread of its own.
    fn work(&self, directory: &Path) -> impl FnOnce() -> Result<Found, SweepError> + Send + 'static {
        let (directory, mut visible, reclaimed) =
            (directory.to_owned(), self.visible.clone(), self.options.reclaimed.clone());
        let (wakeups, pools) =
            (self.wakeups.as_ref().map(Wakeups::directories), self.options.asked.borrow().pools.clone());
        move || {
            let Some(place) = place(&directory)? else { return Ok(Found::Nothing) };
            let mut removed = |lease: &ipam::Lease| {
                reclaimed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(address = %lease.address.ip(), owner = %lease.owner.container_id, "dead lease taken back");
            };
            let swept = sweep(&place, &mut visible, &mut removed)?;
            if let Some(wakeups) = wakeups {
                wakeups.listen_to(&swept.directories);
            }
            Ok(Found::Network { room: asked_room(&place, pools), swept, visible })
        }
    }
}

fn asked_room(place: &Place, pools: Option<(NetworkName, Vec<IpNetwork>)>) -> Option<Room> {
    let (network, cidrs) = pools.filter(|(network, _)| *network == place.network)?;
    room(&place.data_dir, &network, &cidrs).ok()
}

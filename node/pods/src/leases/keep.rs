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

use super::census::{Census, Known};
use super::ears::Ears;
use super::sight::{Id, Sight};
use super::sweep::{Room, SweepError, Swept, room, sweep};
use super::workers::{Outcome, Workers};
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
    pub output: Output<Census>,
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
        sight: Sight,
    },
}

struct Keeper {
    options: Options,
    workers: Workers<Result<Found, SweepError>>,
    ears: Option<Ears>,
    sight: Sight,
    /// The addresses of each network when it was last read.
    addresses: BTreeMap<PathBuf, Arc<[IpAddr]>>,
}

/// Looks after the leases for ever; ends when nobody asks how they stand.
pub async fn keep(options: Options, activity: Activity) -> String {
    let mut asked = options.asked.clone();
    let every = options.every;
    let mut keeper =
        Keeper { options, workers: Workers::new(), ears: None, sight: Sight::default(), addresses: BTreeMap::new() };
    let mut next = every;
    loop {
        keeper.listen();
        let census = {
            let _begun = activity.begin(format!("the leases below {}", keeper.options.stores.data_dir().display()));
            keeper.look().await
        };
        // A store at work or a slow DEL is seen to soon.
        let wait = if census.warnings.is_empty() && keeper.ears.is_some() { next } else { AGAIN.min(every) };
        keeper.options.output.set(census);
        next = tokio::select! {
            changed = asked.changed() => match changed {
                Ok(()) => every,
                Err(_closed) => return "nobody asks for the leases any more".to_owned(),
            },
            heard = hear(keeper.ears.as_mut()) => {
                match heard {
                    Ok(()) => sleep(SETTLE).await,
                    Err(error) => {
                        tracing::warn!(%error, "the kernel's events broke off; listening again");
                        sleep(AGAIN).await;
                        keeper.ears = None;
                    }
                }
                AGAIN
            }
            () = sleep(wait) => every,
        };
    }
}

async fn hear(ears: Option<&mut Ears>) -> std::io::Result<()> {
    match ears {
        Some(ears) => ears.hear().await,
        None => std::future::pending().await,
    }
}

impl Keeper {
    fn listen(&mut self) {
        if self.ears.is_none() {
            match Ears::open() {
                Ok(ears) => self.ears = Some(ears),
                Err(error) => {
                    tracing::debug!(%error, "pods that end are noticed late: the kernel cannot be listened to")
                }
            }
        }
    }

    async fn look(&mut self) -> Census {
        let mut census = Census { begun: Some(Instant::now()), ..Census::default() };
        let directories = match ipam::network_directories(self.options.stores.data_dir()) {
            Ok(directories) => directories,
            Err(error) => {
                census.reclaimed = self.options.reclaimed.load(Ordering::Relaxed);
                census.warnings.push(format!("failed to look after the leases: {error}"));
                return census;
            }
        };
        census.is_listed = true;
        self.workers.retain(|path| directories.iter().any(|there| there == path));
        self.addresses.retain(|path, _| directories.contains(path));
        let mut unseen = BTreeMap::new();
        for directory in directories {
            self.look_at(&directory, &mut census, &mut unseen).await;
        }
        census.reclaimed = self.options.reclaimed.load(Ordering::Relaxed);
        // Another network's pods may have shown the directory since.
        unseen.retain(|directory: &PathBuf, id| !self.sight.saw(directory, *id));
        census.warnings.extend(unseen.keys().map(|directory| {
            format!(
                "the pods' network namespaces in {} cannot be seen, so that no dead lease of theirs is taken back \
                 (in a container: mount it with HostToContainer propagation)",
                directory.display()
            )
        }));
        census
    }

    async fn look_at(&mut self, directory: &Path, census: &mut Census, unseen: &mut BTreeMap<PathBuf, Option<Id>>) {
        let work = self.work(directory);
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let outcome = self.workers.work(directory, TURN, work).await;
        let why = match outcome {
            Outcome::Done(Ok(Found::Nothing)) => {
                self.addresses.remove(directory);
                return;
            }
            Outcome::Done(Ok(Found::Network { swept, room, sight })) => {
                self.sight.learn(sight);
                unseen.extend(swept.unseen);
                let addresses: Arc<[IpAddr]> = swept.addresses.into();
                self.addresses.insert(directory.to_owned(), addresses.clone());
                census.stores.push(Known {
                    network: swept.counts.network.clone(),
                    addresses: Some(addresses),
                    is_read: true,
                });
                census.room = census.room.take().or_else(|| room.map(|room| (swept.counts.network.clone(), room)));
                census.leases.push(swept.counts);
                return;
            }
            Outcome::Done(Err(error)) => error.to_string(),
            Outcome::Late => format!("{} does not answer", directory.display()),
            Outcome::Failed => format!("a look at {} panicked", directory.display()),
            Outcome::NoThread(error) => format!("start a thread: {error}"),
        };
        census.warnings.push(format!("failed to look after the leases of {name}: {why}"));
        let addresses = self.addresses.get(directory).cloned();
        census.stores.push(Known { network: name, addresses, is_read: false });
    }

    /// What is done for one network, on a thread of its own.
    fn work(&self, directory: &Path) -> impl FnOnce() -> Result<Found, SweepError> + Send + 'static {
        let (directory, mut sight, reclaimed) =
            (directory.to_owned(), self.sight.clone(), self.options.reclaimed.clone());
        let (ears, pools) = (self.ears.as_ref().map(Ears::directories), self.options.asked.borrow().pools.clone());
        move || {
            let Some(place) = place(&directory)? else { return Ok(Found::Nothing) };
            let mut removed = |lease: &ipam::Lease| {
                reclaimed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(address = %lease.address.ip(), owner = %lease.owner.container_id, "dead lease taken back");
            };
            let swept = sweep(&place, &mut sight, &mut removed)?;
            if let Some(ears) = ears {
                ears.listen_to(&swept.directories);
            }
            Ok(Found::Network { room: asked_room(&place, pools), swept, sight })
        }
    }
}

fn asked_room(place: &Place, pools: Option<(NetworkName, Vec<IpNetwork>)>) -> Option<Room> {
    let (network, cidrs) = pools.filter(|(network, _)| *network == place.network)?;
    room(&place.data_dir, &network, &cidrs).ok()
}

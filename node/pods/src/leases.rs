//! The leases of this node as the agent sees them: the owner of each address, and which leases are provably dead. The
//! stores belong to the ipam crate; here they are read and asked to take dead leases back. Stores are independent: a
//! fault of one network's store does not affect another.

mod keep;
mod lease_counts;
mod sweep;
mod visible_netns;
mod wakeups;
mod workers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::NetworkName;
use hostport::Ports;
use ipam::{Error, Lease, Place, Presence, Stamp};
use netlink::Socket;
use podlink::HostLinks;

pub use keep::{Asked, Options, keep};
pub use lease_counts::{Known, LeaseCounts};
use sweep::Witness;
pub use sweep::{NetworkLeases, Room, Rooms, SweepError};
pub use visible_netns::VisibleNetns;

/// The agent does not wait for a lock that a plugin holds: it retries later.
const PATIENCE: Duration = Duration::from_millis(200);

/// The stores below one directory.
#[derive(Clone, Debug)]
pub struct Stores {
    data_dir: PathBuf,
}

/// What was read of all stores, and the errors.
#[derive(Debug, Default)]
pub struct Read<T> {
    /// What was read.
    pub leases: Vec<T>,
    /// One error for each store, or directory, that could not be read.
    pub unread: Vec<Error>,
}

impl Stores {
    /// The stores of all networks below `data_dir`.
    pub fn below(data_dir: PathBuf) -> Self {
        Self { data_dir }
    }

    /// The directory of the stores.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The networks, and the errors of directories that cannot be read.
    fn places(&self) -> Result<(Vec<Place>, Vec<Error>), Error> {
        let (mut places, mut unread) = (Vec::new(), Vec::new());
        for directory in ipam::network_directories(&self.data_dir)? {
            match place(&directory) {
                Ok(place) => places.extend(place),
                Err(error) => unread.push(error),
            }
        }
        places.sort_by(|one, other| one.network.cmp(&other.network));
        Ok((places, unread))
    }

    /// All leases that can be read, with the name of their network.
    pub fn all(&self) -> Read<(NetworkName, Lease)> {
        let (places, unread) = match self.places() {
            Ok(found) => found,
            Err(error) => return Read { leases: Vec::new(), unread: vec![error] },
        };
        let mut read = Read { leases: Vec::new(), unread };
        for place in places {
            match ipam::leases(&place) {
                Ok(leases) => read.leases.extend(leases.into_iter().map(|lease| (place.network.clone(), lease))),
                Err(error) => read.unread.push(error),
            }
        }
        read
    }

    /// All leases with the presence of their owners, by the directories that `visible` has proved.
    pub fn judged(&self, visible: &VisibleNetns) -> Result<Read<(NetworkName, Lease, Presence)>, Error> {
        let now = Stamp::now()?;
        // Without a socket nothing is known of any link.
        let mut host = Socket::open().ok();
        let judge = |(network, lease): (NetworkName, Lease)| {
            let there = host.as_mut().map_or(Presence::Unknown, |host| {
                let ports = Ports::below(&self.data_dir, ipam::DEFAULT_LOCK_TIMEOUT);
                let witness = Witness { links: HostLinks::new(host, &network), visible, ports, network: &network };
                ipam::Liveness::presence(&witness, &lease, now)
            });
            (network, lease, there)
        };
        let Read { leases, unread } = self.all();
        Ok(Read { leases: leases.into_iter().map(judge).collect(), unread })
    }

    /// Records which of the owners' namespaces are visible. Nothing where the leases cannot be read.
    pub fn show(&self, visible: &mut VisibleNetns) {
        self.all().leases.iter().for_each(|(_, lease)| {
            visible.take_in(lease);
        });
    }

    /// Takes back what is provably dead, network by network; returns the errors. `removed` is called with each lease
    /// that was removed.
    pub fn take_back(&self, visible: &mut VisibleNetns, removed: &mut dyn FnMut(&Lease)) -> Vec<SweepError> {
        let (places, unread) = match self.places() {
            Ok(found) => found,
            Err(error) => return vec![error.into()],
        };
        let swept = places.iter().filter_map(|place| sweep::sweep(place, visible, removed).err());
        let failed: Vec<SweepError> = swept.collect();
        unread.into_iter().map(SweepError::from).chain(failed).collect()
    }
}

/// The network whose store is in a directory, with the agent's lock timeout.
fn place(directory: &Path) -> Result<Option<Place>, Error> {
    Ok(ipam::place_in(directory)?.map(|place| Place { lock_timeout: PATIENCE, ..place }))
}

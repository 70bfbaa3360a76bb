//! The leases of this node as the agent sees them: who has which address, and which are provably dead. The stores are the
//! ipam crate's; here they are only asked, and asked to take the dead ones back.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipam::{Error, Lease, Place, Presence, Prover, Range, RangeSet, Require, Want};
use ipnetwork::IpNetwork;
use netlink::{Link, Selector, Socket};

/// The agent does not wait for a plugin at work: it comes again.
const PATIENCE: Duration = Duration::from_millis(200);

/// The stores below one directory.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    data_dir: PathBuf,
}

/// One network's leases, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) network: String,
    /// Owners that are provably there.
    pub(crate) alive: u64,
    /// Owners of which nothing can be said from here.
    pub(crate) unknown: u64,
    /// Taken back just now: their owners were provably gone.
    pub(crate) removed: u64,
}

/// How full the agent's own pools are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) used: u64,
    pub(crate) cooling: u64,
    pub(crate) capacity: u64,
}

impl Stores {
    pub(crate) fn below(data_dir: PathBuf) -> Self {
        Self { data_dir }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn places(&self) -> Result<Vec<Place>, Error> {
        let mut places = ipam::places(&self.data_dir)?;
        for place in &mut places {
            place.lock_timeout = PATIENCE;
        }
        Ok(places)
    }

    /// All leases, with the name of their network.
    pub(crate) fn all(&self) -> Result<Vec<(String, Lease)>, Error> {
        let mut all = Vec::new();
        for place in self.places()? {
            let network = place.network.to_string();
            all.extend(ipam::leases(&place)?.into_iter().map(|lease| (network.clone(), lease)));
        }
        Ok(all)
    }

    /// Whether a lease lies in `cidr`. A store that cannot be read may hold one.
    pub(crate) fn any_in(&self, cidr: IpNetwork) -> bool {
        self.all().map_or(true, |all| all.iter().any(|(_, lease)| cidr.contains(lease.address.ip())))
    }

    /// The leased addresses.
    pub(crate) fn addresses(&self) -> Result<Vec<IpAddr>, Error> {
        Ok(self.all()?.iter().map(|(_, lease)| lease.address.ip()).collect())
    }

    /// Takes back what is provably dead and counts the rest. `removed` is told of each lease that went.
    pub(crate) fn sweep(&self, removed: &mut dyn FnMut(&Lease)) -> Result<Vec<Counts>, Error> {
        let mut counts = Vec::new();
        let links = HostLinks::open();
        for place in self.places()? {
            let seen = ipam::scavenge(&place, &links, removed)?;
            counts.push(Counts {
                network: place.network.to_string(),
                alive: seen.alive,
                unknown: seen.unknown,
                removed: seen.removed,
            });
        }
        Ok(counts)
    }

    /// How full the pools of `network` are that the agent's conflist gives it. Full pools are no error here.
    pub(crate) fn room(&self, network: &cni::NetworkName, cidrs: &[IpNetwork]) -> Result<Room, Error> {
        let mut room = Room::default();
        for cidr in cidrs {
            let Ok(set) = Range::new(*cidr, None, None, None).and_then(|range| RangeSet::new(vec![range])) else {
                continue;
            };
            room.capacity = set.ranges().iter().fold(room.capacity, |sum, range| sum.saturating_add(range.capacity()));
            let want = Want::new(&[set], &[], Duration::ZERO, Require::Both)?;
            match ipam::status(&Place::new(&self.data_dir, network.clone()), &want) {
                Ok(counts) => {
                    for set in counts.sets {
                        room.used = room.used.saturating_add(set.leased);
                        room.cooling = room.cooling.saturating_add(set.released);
                    }
                }
                Err(Error::NotReady(why)) => match *why {
                    Error::Exhausted { used, cooling, .. } => {
                        room.used = room.used.saturating_add(used);
                        room.cooling = room.cooling.saturating_add(cooling);
                    }
                    other => return Err(other),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(room)
    }
}

/// The links of the network namespace that the agent lives in.
pub(crate) struct HostLinks {
    /// None where no socket could be had: then nothing is known of any link.
    socket: Option<RefCell<Socket>>,
}

impl HostLinks {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> Self {
        Self { socket: Socket::open().ok().map(RefCell::new) }
    }
}

impl Prover for HostLinks {
    fn host_link(&self, name: &str) -> Presence {
        let Some(socket) = &self.socket else { return Presence::Unknown };
        Presence::of(Link::find(&mut socket.borrow_mut(), Selector::Name(name)))
    }
}

//! The leases of this node as the agent sees them: who has which address, and which are provably dead. The stores are the
//! ipam crate's; here they are only asked, and asked to take the dead ones back.

mod ears;
mod keep;
mod sight;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::NetworkName;
use ipam::{Error, Lease, Place, Presence, Prover, Range, RangeSet, Require, Stamp, Want};
use ipnetwork::IpNetwork;
use netlink::Socket;
use podlink::HostLinks;

pub(crate) use keep::{Census, keep};
pub(crate) use sight::Sight;

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
    pub(crate) fn all(&self) -> Result<Vec<(NetworkName, Lease)>, Error> {
        let mut all = Vec::new();
        for place in self.places()? {
            all.extend(ipam::leases(&place)?.into_iter().map(|lease| (place.network.clone(), lease)));
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

    /// All leases with what is known of their owners, by what `sight` has taken in.
    pub(crate) fn judged(&self, sight: &Sight) -> Result<Vec<(NetworkName, Lease, Presence)>, Error> {
        let now = Stamp::now()?;
        // Without one nothing is known of any link.
        let mut host = Socket::open().ok();
        let judge = |(network, lease): (NetworkName, Lease)| {
            let there = host.as_mut().map_or(Presence::Unknown, |host| {
                let witness = Witness { links: HostLinks::new(host, &network), sight };
                ipam::presence(&lease, &witness, now)
            });
            (network, lease, there)
        };
        Ok(self.all()?.into_iter().map(judge).collect())
    }

    /// Takes in what is seen of the owners' namespaces. Nothing where the leases cannot be read.
    pub(crate) fn show(&self, sight: &mut Sight) {
        self.all().unwrap_or_default().iter().for_each(|(_, lease)| {
            sight.take_in(lease);
        });
    }

    /// Takes back what is provably dead. `removed` is told of each lease that went.
    pub(crate) fn take_back(&self, sight: &mut Sight, removed: &mut dyn FnMut(&Lease)) -> Result<(), SweepError> {
        self.sweep(sight, removed).map(drop)
    }

    /// Takes back what is provably dead and counts the rest. `removed` is told of each lease that went.
    fn sweep(&self, sight: &mut Sight, removed: &mut dyn FnMut(&Lease)) -> Result<Swept, SweepError> {
        let mut host = Socket::open()?;
        let mut swept = Swept::default();
        for place in self.places()? {
            let leases = ipam::leases(&place)?;
            swept.directories.extend(sight::directories(leases.iter()));
            let links = HostLinks::new(&mut host, &place.network);
            let unseen = leases.iter().filter(|lease| !sight.take_in(lease));
            // A link that is there has a namespace at its other end.
            let living = unseen.filter(|lease| links.host_link(lease) == Presence::Present);
            swept.unseen.extend(living.filter_map(|lease| lease.proof.netns.parent()).map(Path::to_owned));
            let seen = ipam::scavenge(&place, &Witness { links, sight }, removed)?;
            swept.counts.push(Counts { network: place.network.to_string(), alive: seen.alive, unknown: seen.unknown });
        }
        swept.unseen.retain(|directory| !sight.sees(directory));
        Ok(swept)
    }

    /// How full the pools of `network` are that the agent's conflist gives it. Full pools are no error here.
    pub(crate) fn room(&self, network: &NetworkName, cidrs: &[IpNetwork]) -> Result<Room, Error> {
        let mut room = Room::default();
        for cidr in cidrs {
            let Ok(set) = Range::new(*cidr, None, None, None).and_then(|range| RangeSet::new(vec![range])) else {
                continue;
            };
            room.capacity = set.ranges().iter().fold(room.capacity, |sum, range| sum.saturating_add(range.capacity()));
            let want = Want::new(&[set], &[], Duration::ZERO, Require::Both)?;
            for set in ipam::counts(&Place::new(&self.data_dir, network.clone()), &want)?.sets {
                room.used = room.used.saturating_add(set.leased);
                room.cooling = room.cooling.saturating_add(set.released);
            }
        }
        Ok(room)
    }
}

/// What a sweep saw.
#[derive(Debug, Default)]
struct Swept {
    counts: Vec<Counts>,
    /// Where the leases' namespaces are.
    directories: BTreeSet<PathBuf>,
    /// Those where a living pod's namespace is not to be seen.
    unseen: BTreeSet<PathBuf>,
}

/// Why there was no sweep, or not a whole one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error("{0}")]
    Store(#[from] Error),
    #[error("{0}")]
    Netlink(#[from] netlink::Error),
}

/// Answers for the links of this network namespace and for what this process sees of the others.
struct Witness<'a> {
    links: HostLinks<'a>,
    sight: &'a Sight,
}

impl Prover for Witness<'_> {
    fn host_link(&self, lease: &Lease) -> Presence {
        self.links.host_link(lease)
    }

    fn sees(&self, directory: &Path) -> bool {
        self.sight.sees(directory)
    }

    fn taken_back(&self, lease: &Lease, leased: &dyn Fn() -> bool) {
        self.links.taken_back(lease, leased);
    }
}

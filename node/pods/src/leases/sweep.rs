//! One sweep over one network's leases: the dead ones are taken back, the others are counted. A fault of a store
//! affects only its network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::NetworkName;
use hostport::Ports;
use ipam::{Error, Lease, Liveness, Place, Presence, Range, RangeSet, Require, Want};
use ipnetwork::IpNetwork;
use netlink::{Family, Socket};
use podlink::{HostLinks, Identity};

use super::visible_netns::{self, Id, VisibleNetns};

/// One network's leases, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkLeases {
    /// The network's name.
    pub network: String,
    /// Owners that provably exist.
    pub alive: u64,
    /// Owners of which nothing is known.
    pub unknown: u64,
}

/// How full the agent's own pools are: IPv4 and IPv6, each where there is a pool. A pod needs an address of each.
pub type Rooms = [Option<Room>; 2];

/// How full the agent's own pools of one family are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Addresses that are leased.
    pub used: u64,
    /// Addresses that were released a short time ago.
    pub cooling: u64,
    /// The number of all addresses.
    pub capacity: u64,
}

/// The result of a sweep.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) counts: NetworkLeases,
    /// The addresses that are leased.
    pub(super) addresses: Vec<IpAddr>,
    /// The directories of the leases' namespaces.
    pub(super) directories: BTreeSet<PathBuf>,
    /// Those in which a running pod's namespace is not visible, with their present identity.
    pub(super) unseen: BTreeMap<PathBuf, Option<Id>>,
}

/// Why there was no sweep, or no complete one.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SweepError {
    #[error("{0}")]
    Store(#[from] Error),
    #[error("{0}")]
    Netlink(#[from] netlink::Error),
}

/// Checks the links of this network namespace, and the namespaces that are visible to this process.
pub(super) struct Witness<'a> {
    pub(super) links: HostLinks<'a>,
    pub(super) visible: &'a VisibleNetns,
    /// The node's host ports, and whose leases these are.
    pub(super) ports: Ports,
    pub(super) network: &'a NetworkName,
}

impl Liveness for Witness<'_> {
    fn host_link(&self, lease: &Lease) -> Presence {
        self.links.host_link(lease)
    }

    fn sees(&self, directory: &Path) -> bool {
        self.visible.sees(directory)
    }

    fn taken_back(&self, lease: &Lease, leased: &dyn Fn() -> bool) {
        // What cannot be removed now is collected when the packet filter is compared.
        if !leased() {
            let _ = self.ports.release(&Identity::of(self.network, &lease.owner).host_name);
        }
        self.links.taken_back(lease, leased);
    }
}

/// Takes back what is provably dead and counts the others. `removed` is called with each lease that was removed.
pub(super) fn sweep(
    place: &Place,
    visible: &mut VisibleNetns,
    removed: &mut dyn FnMut(&Lease),
) -> Result<Swept, SweepError> {
    let mut host = Socket::open()?;
    let leases = ipam::leases(place)?;
    let directories = visible_netns::directories(leases.iter());
    let links = HostLinks::new(&mut host, &place.network);
    let unseen = leases.iter().filter(|lease| !visible.take_in(lease));
    // An existing link has a namespace at its other end.
    let living = unseen.filter(|lease| links.host_link(lease) == Presence::Present);
    let unseen: BTreeSet<_> = living.filter_map(|lease| lease.proof.netns.parent()).map(Path::to_owned).collect();
    let mut gone = BTreeSet::new();
    let mut note = |lease: &Lease| {
        gone.insert(lease.address.ip());
        removed(lease);
    };
    let ports = Ports::below(&place.data_dir, place.lock_timeout);
    let seen = ipam::scavenge(place, &Witness { links, visible, ports, network: &place.network }, &mut note)?;
    let unseen = unseen.into_iter().filter(|directory| !visible.sees(directory));
    let unseen = unseen.map(|directory| (directory.clone(), visible_netns::identity(&directory))).collect();
    let counts = NetworkLeases { network: place.network.to_string(), alive: seen.alive, unknown: seen.unknown };
    let addresses = leases.iter().map(|lease| lease.address.ip()).filter(|address| !gone.contains(address)).collect();
    Ok(Swept { counts, addresses, directories, unseen })
}

/// How full the pools of `network` in the agent's conflist are. Full pools are not an error here.
pub(super) fn rooms(data_dir: &Path, network: &NetworkName, cidrs: &[IpNetwork]) -> Result<Rooms, Error> {
    let mut rooms = Rooms::default();
    for cidr in cidrs {
        let Ok(set) = Range::new(*cidr, None, None, None).and_then(|range| RangeSet::new(vec![range])) else {
            continue;
        };
        let room = rooms[Family::of(cidr.ip()).index()].get_or_insert_default();
        room.capacity = set.ranges().iter().fold(room.capacity, |sum, range| sum.saturating_add(range.capacity()));
        let want = Want::new(&[set], &[], Duration::ZERO, Require::Both)?;
        for set in ipam::counts(&Place::new(data_dir, network.clone()), &want)?.sets {
            room.used = room.used.saturating_add(set.leased);
            room.cooling = room.cooling.saturating_add(set.released);
        }
    }
    Ok(rooms)
}

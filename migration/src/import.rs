//! Taking over what host-local leased: its directory of a network read under its lock, the leases put into the store
//! whole or not at all: read, plan, rewrite the store. host-local's directory is not changed, and no address is taken from an
//! owner of podlan's.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cni::Attachment;
use ipam::{Error, Lease, Liveness, NoLinks, Place, Proof, Range, Stamp, Want, after, on};
use store::{Disk, Locked, Room, StoreDir, Transaction, View};

use crate::host_local::{self, Found};
use crate::plan::{Before, Plan, plan};

/// What an import did.
#[derive(Debug, Default)]
pub struct Imported {
    /// Leases that the store has now and had not.
    pub leases: Vec<Lease>,
    /// Leases that the store had already, of the same owner.
    pub known: Vec<Lease>,
    /// Leases whose owners were not vouched for.
    pub left: Vec<(IpAddr, Attachment)>,
    /// Files that were not taken over. host-local keeps these addresses reserved: look before they are given.
    pub refused: Vec<Refused>,
}

/// A file of host-local's that was not taken over.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct Refused {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: Refusal,
}

/// Why a file was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// host-local keeps no such file.
    #[error("its name is no address")]
    Name,
    /// A directory, a symlink, a fifo.
    #[error("it is not a regular file")]
    Kind,
    /// The kernel refused to read it.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// Whose address it was is not known.
    #[error("it is empty (was host-local killed while it wrote it?)")]
    Empty,
    /// More, or something else, than a container id and an interface.
    #[error("it names no container and interface")]
    Content,
    /// `last_reserved_ip.N` that holds something else.
    #[error("it holds no address")]
    Last,
    /// The config gives no such address.
    #[error("{0} is in none of the configured ranges")]
    Outside(IpAddr),
    /// The address is a gateway, a network or a broadcast address.
    #[error("{0} is a gateway, network or broadcast address of the configured ranges")]
    Reserved(IpAddr),
    /// Given by podlan, or named by another file.
    #[error("{address} is leased to {} {} already", owner.container_id, owner.ifname)]
    Taken {
        /// The address.
        address: IpAddr,
        /// Who has it.
        owner: Attachment,
    },
    /// Identity is never cut.
    #[error("its container id is {excess} bytes too long to be recorded")]
    DoesNotFit {
        /// Bytes too many.
        excess: usize,
    },
}

/// Put the leases of host-local's directory of this network (by default `/var/lib/cni/networks/NAME`) into the store, in
/// one step: a kill or an error leaves the store as it was. Both locks are held meanwhile, each waited for up to the
/// place's deadline. Done again, it changes nothing. The directory is only read.
///
/// An address keeps its owner, and gets prefix and gateway from its range in `want`. Files of an old host-local name no
/// interface: theirs is taken for `eth0`, as all runtimes of Kubernetes have it. Addresses up to the one that host-local
/// reserved last, which it may have given and taken back a moment ago, rest first.
///
/// host-local records no network namespace and leaks leases, so `vouch` is asked for each owner: `None` leaves the lease
/// where it is, and what it answers proves the owner alive from then on. A lease without a namespace in its proof is never
/// proved dead: DEL and GC take it back.
pub fn import(
    place: &Place,
    want: &Want,
    directory: &Path,
    vouch: &dyn Fn(&Attachment) -> Option<Proof>,
) -> Result<Imported, Error> {
    let dir = place.dir()?;
    under_host_locals_lock(place, directory, |read| {
        import_in(&dir, place.network.as_str(), &Wanted { want, vouch, read }, &NoLinks, Stamp::now()?)
    })
}

/// What [`import`] would do now; changes nothing, and makes no store.
pub fn dry_run(
    place: &Place,
    want: &Want,
    directory: &Path,
    vouch: &dyn Fn(&Attachment) -> Option<Proof>,
) -> Result<Imported, Error> {
    let dir = place.dir()?;
    under_host_locals_lock(place, directory, |read| {
        let found = read()?;
        let observed = store::read(&dir, |snapshot| Before::observe(snapshot, &found, want))?;
        Ok(plan(found, want, &observed.unwrap_or_default(), vouch, Stamp::now()?).imported())
    })
}

/// The reading of host-local's directory.
pub type Reading<'a> = dyn Fn() -> Result<Found, Error> + 'a;

/// Does `body` while host-local's lock is held, if it has one; it is given the reading of the directory.
fn under_host_locals_lock<T>(
    place: &Place,
    directory: &Path,
    body: impl FnOnce(&Reading<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    // A config that kept its dataDir has both in one directory, under one lock.
    let shared = is_same(directory, &place.directory());
    let lock = if shared { None } else { host_local::lock(directory, place.lock_timeout)? };
    let read = || match host_local::read(directory)? {
        // A host-local that began meanwhile has made its lock, and may be halfway.
        _ if !shared && lock.is_none() && host_local::has_lock(directory) => {
            Err(store::Error::Unsteady { path: directory.to_path_buf() }.into())
        }
        found => Ok(found),
    };
    body(&read)
}

/// What is to be imported.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The ranges that the network gives addresses of.
    pub want: &'a Want,
    /// What proves an owner alive; `None` leaves its lease.
    pub vouch: &'a dyn Fn(&Attachment) -> Option<Proof>,
    /// Reads host-local's directory.
    pub read: &'a Reading<'a>,
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// See [`import`]; in any store directory, at a moment of the caller's choice.
///
/// # Errors
/// When host-local's directory or the store cannot be read, or the store cannot be written.
pub fn import_in<S: StoreDir>(
    dir: &S,
    network: &str,
    wanted: &Wanted<'_>,
    liveness: &dyn Liveness,
    now: Stamp,
) -> Result<Imported, Error> {
    dir.prepare()?;
    let plan = match attempt(dir, network, wanted, now)? {
        Some(plan) => plan,
        None => {
            // An address that only an earlier boot holds is free.
            on::void_earlier_boots(dir, liveness, now)?;
            let again = attempt(dir, network, wanted, now)?;
            again.ok_or_else(|| store::Error::Unsteady { path: dir.path().to_path_buf() })?
        }
    };
    Ok(plan.imported())
}

/// Reads, plans and does it under the lock. `None` when leases of an earlier boot were not judged yet.
fn attempt<S: StoreDir>(dir: &S, network: &str, wanted: &Wanted<'_>, now: Stamp) -> Result<Option<Plan>, Error> {
    let Wanted { want, vouch, read } = *wanted;
    let mut store = Locked::open(dir, now.boot)?;
    let plan = match store.change()? {
        None => plan(read()?, want, &Before::default(), vouch, now),
        Some(change) if !change.is_swept() => return Ok(None),
        Some(change) => {
            let found = read()?;
            let before = Before::observe(&change, &found, want)?;
            plan(found, want, &before, vouch, now)
        }
    };
    if !plan.is_empty() {
        let pools = u32::try_from(want.ranges().count()).unwrap_or(u32::MAX);
        let slots = u32::try_from(plan.slots()).unwrap_or(u32::MAX);
        let room = Room { addresses: want.capacity(), slots, pools };
        store.rewrite(network, &room, steps(&plan), |change, step| step.make(change, now))?;
    }
    Ok(Some(plan))
}

/// One step of a plan.
enum Step<'p> {
    /// Gives an address of a range.
    Give(&'p Range, &'p Lease),
    /// Lets an address that host-local gave before rest, and the range be used from behind it on.
    Pass(&'p Range, IpAddr),
}

fn steps(plan: &Plan) -> impl Iterator<Item = Step<'_>> {
    let passed = plan.passed.iter();
    let passed = passed.flat_map(|passed| passed.addresses().map(|address| Step::Pass(&passed.range, address)));
    plan.new.iter().map(|(range, lease)| Step::Give(range, lease)).chain(passed)
}

impl Step<'_> {
    fn make<D: Disk>(&self, change: &mut Transaction<'_, D>, now: Stamp) -> Result<(), store::Error> {
        match self {
            Self::Give(range, lease) => match change.slot_at(lease.address.ip())? {
                Some((number, slot)) => change.give_again(number, &slot, Lease::clone(lease)).map(drop),
                None => {
                    let (pool, _) = change.pool_at(range.start(), range.end())?;
                    change.give_new(pool, Lease::clone(lease))
                }
            },
            Self::Pass(range, address) => {
                let (pool, _) = change.pool_at(range.start(), range.end())?;
                if !range.reserves(*address) && change.slot_at(*address)?.is_none() {
                    change.rest_new(pool, *address, now)?;
                }
                change.move_cursor_past(pool, *address, after(*address).filter(|next| *next <= range.end()))
            }
        }
    }
}

//! Taking over what host-local leased: its directory of a network read under its lock, the leases put into the store
//! whole or not at all. Owns the order: read, plan, write anew. Refuses to change host-local's directory, and to take
//! an address from an owner of ours.

mod apply;
mod found;
mod plan;

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cni::Attachment;

pub(super) use self::found::Found;
use self::plan::{Before, Plan, plan};
use super::remove::sweep_boot;
use super::want::Want;
use super::{Judge, World};
use crate::error::Error;
use crate::lease::{Lease, NoLinks, Proof};
use crate::now::Stamp;
use crate::place::Place;
use crate::store::View;
use crate::store::disk::Shelf;
use crate::store::layout::Layout;
use crate::store::read::read as read_store;
use crate::store::rebuild::{publish, write_anew, write_empty};
use crate::store::transaction::Transaction;

/// What an import came to.
#[derive(Debug, Default)]
pub struct Imported {
    /// Leases that the store has now and had not.
    pub leases: Vec<Lease>,
    /// Leases that the store had already, of the same owner.
    pub known: Vec<Lease>,
    /// Leases for whose owners nobody vouched.
    pub left: Vec<(IpAddr, Attachment)>,
    /// Files that were not taken over. host-local keeps these addresses for somebody: look before you give them.
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
    let shelf = place.shelf()?;
    under_their_lock(place, directory, |read| {
        import_on(&shelf, place.network.as_str(), &Wanted { want, vouch, read }, &World(&NoLinks), Stamp::now()?)
    })
}

/// What [`import`] would come to now; changes nothing, and makes no store.
pub fn rehearse_import(
    place: &Place,
    want: &Want,
    directory: &Path,
    vouch: &dyn Fn(&Attachment) -> Option<Proof>,
) -> Result<Imported, Error> {
    let shelf = place.shelf()?;
    under_their_lock(place, directory, |read| {
        let found = read()?;
        let observed = read_store(&shelf, |snapshot| Before::observe(snapshot, &found, want))?;
        Ok(plan(found, want, &observed.unwrap_or_default(), vouch, Stamp::now()?).told())
    })
}

/// The reading of host-local's directory.
pub(super) type Reading<'a> = dyn Fn() -> Result<Found, Error> + 'a;

/// Does `body` while host-local's lock is held, if it has one; it is given the reading of the directory.
fn under_their_lock<T>(
    place: &Place,
    directory: &Path,
    body: impl FnOnce(&Reading<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    // A config that kept its dataDir has both in one directory, under one lock.
    let shared = is_same(directory, &place.directory());
    let theirs = if shared { None } else { found::lock(directory, place.lock_timeout)? };
    let read = || match found::read(directory)? {
        // A host-local that began meanwhile has made its lock, and may be halfway.
        _ if !shared && theirs.is_none() && found::has_lock(directory) => {
            Err(Error::Unsteady { path: directory.to_path_buf() })
        }
        found => Ok(found),
    };
    body(&read)
}

/// What is to be imported.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) want: &'a Want,
    pub(super) vouch: &'a dyn Fn(&Attachment) -> Option<Proof>,
    pub(super) read: &'a Reading<'a>,
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

pub(super) fn import_on<S: Shelf>(
    shelf: &S,
    network: &str,
    wanted: &Wanted<'_>,
    judge: &dyn Judge,
    now: Stamp,
) -> Result<Imported, Error> {
    shelf.prepare()?;
    let plan = match attempt(shelf, network, wanted, now)? {
        Some(plan) => plan,
        None => {
            // An address that only an earlier boot holds is free.
            sweep_boot(shelf, judge, now)?;
            let again = attempt(shelf, network, wanted, now)?;
            again.ok_or_else(|| Error::Unsteady { path: shelf.path().to_path_buf() })?
        }
    };
    Ok(plan.told())
}

/// Read, plan and do it under the lock. `None` when leases of an earlier boot were not judged yet.
fn attempt<S: Shelf>(shelf: &S, network: &str, wanted: &Wanted<'_>, now: Stamp) -> Result<Option<Plan>, Error> {
    let Wanted { want, vouch, read } = *wanted;
    let _guard = shelf.lock()?;
    let Some(mut disk) = shelf.open().map_err(Error::io("open", shelf.path()))? else {
        let plan = plan(read()?, want, &Before::default(), vouch, now);
        if !plan.is_empty() {
            let layout = roomy(Layout::for_addresses(want.capacity()), 0, 0, &plan, want);
            publish(shelf, |draft| {
                write_empty(draft, network, layout, now.boot)?;
                apply::apply(draft, shelf.path(), &plan, now)
            })?;
        }
        return Ok(Some(plan));
    };
    let mut old = Transaction::begin(&mut disk, shelf.path(), now.boot)?;
    if old.state().swept != now.boot {
        return Ok(None);
    }
    let found = read()?;
    let before = Before::observe(&old, &found, want)?;
    let plan = plan(found, want, &before, vouch, now);
    if !plan.is_empty() {
        let layout = roomy(*old.layout(), old.state().slots, old.state().pools, &plan, want);
        old.settle()?;
        publish(shelf, |draft| {
            write_anew(draft, &old, network, layout, now.boot, &|_| true)?;
            apply::apply(draft, shelf.path(), &plan, now)
        })?;
    }
    Ok(Some(plan))
}

/// A layout with room for what there is, what the plan adds, and the pools of the config.
fn roomy(mut layout: Layout, slots: u32, pools: u32, plan: &Plan, want: &Want) -> Layout {
    let slots = u32::try_from(plan.slots()).unwrap_or(u32::MAX).saturating_add(slots);
    while layout.is_crowded(slots) {
        layout = layout.grown();
    }
    let ranges = want.asked.iter().map(|asked| asked.set.ranges().len()).sum::<usize>();
    let pools = u32::try_from(ranges).unwrap_or(u32::MAX).saturating_add(pools);
    while layout.pools < pools {
        layout.pools *= 2;
    }
    layout
}

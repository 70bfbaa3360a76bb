//! STATUS: can an address be given right now? Without the lock, without writing, in a handful of reads.

use std::fs;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::want::Want;
use crate::error::Error;
use crate::place::Place;
use crate::range::{Range, RangeSet};
use crate::store::View;
use crate::store::disk::Shelf;
use crate::store::ledger::pool_of;
use crate::store::pool::Pool;
use crate::store::read::{Snapshot, read};

/// How full the pools are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// One entry for each range set, in the order of the config.
    pub sets: Vec<SetCounts>,
}

/// How full one range set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCounts {
    /// The set as `first-last` of each range.
    pub set: String,
    /// Addresses leased.
    pub leased: u64,
    /// Addresses released and waiting to be given again.
    pub released: u64,
    /// Addresses that can be leased at all. Saturates at `u64::MAX`.
    pub capacity: u64,
}

/// Every set has an address to give, and the store can be written; otherwise [`Error::NotReady`] says what is wrong.
pub fn status(place: &Place, want: &Want) -> Result<Counts, Error> {
    let not_ready = |error| Error::NotReady(Box::new(error));
    let writable = writable(&place.store()).map_err(not_ready);
    writable.and_then(|()| place.shelf().and_then(|shelf| count(&shelf, want)).map_err(not_ready))
}

pub(super) fn count<S: Shelf>(shelf: &S, want: &Want) -> Result<Counts, Error> {
    let look = |view: &Snapshot<'_, S::Disk>| {
        want.asked.iter().map(|asked| set(view, &asked.set)).collect::<Result<Vec<_>, _>>()
    };
    match read(shelf, look)? {
        Some(sets) => Ok(Counts { sets }),
        None => Ok(Counts { sets: want.asked.iter().map(|asked| empty(&asked.set)).collect() }),
    }
}

fn empty(set: &RangeSet) -> SetCounts {
    let capacity = set.ranges().iter().fold(0, |sum: u64, range| sum.saturating_add(range.capacity()));
    SetCounts { set: set.to_string(), leased: 0, released: 0, capacity }
}

fn set(view: &impl View, set: &RangeSet) -> Result<SetCounts, Error> {
    let mut counts = empty(set);
    let mut available = false;
    for range in set.ranges() {
        let Some((_, pool)) = pool_of(view, range.start(), range.end())? else {
            available = true;
            continue;
        };
        counts.leased += u64::from(pool.leased);
        counts.released += u64::from(pool.free);
        available |= has_some(range, &pool);
    }
    if available {
        return Ok(counts);
    }
    let SetCounts { set, leased: used, released: cooling, .. } = counts;
    Err(Error::Exhausted { set, used, cooling, unprovable: 0 })
}

fn has_some(range: &Range, pool: &Pool) -> bool {
    u64::from(pool.leased) < range.capacity() && (pool.free > 0 || pool.cursor.is_some())
}

/// The store can be written, or made: the nearest directory above it that exists is writable.
fn writable(store: &Path) -> Result<(), Error> {
    let there = store.ancestors().find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(Path::new("/"));
    access(there, AccessFlags::W_OK).map_err(|errno| Error::io("write", there)(errno.into()))
}

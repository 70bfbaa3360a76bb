//! When a set has nothing left to give: bring home what waits in other pools' queues, and take back what is provably dead.
//! Owns the counts that the error tells. Looks and proves without the lock.

use std::net::IpAddr;

use super::Judge;
use super::give::Request;
use super::look::is_leased;
use super::remove::remove;
use super::want::Asked;
use crate::error::Error;
use crate::lease::Presence;
use crate::store::disk::Shelf;
use crate::store::ledger::slot_at;
use crate::store::read::each_slot;
use crate::store::transaction::Transaction;

/// Addresses that are won back at once.
const BATCH: usize = 64;

/// What a set came to.
#[derive(Debug, Default)]
pub(super) struct Reclaimed {
    /// Something can be had now.
    pub(super) any: bool,
    used: u64,
    cooling: u64,
    unprovable: u64,
}

impl Reclaimed {
    /// The error, when nothing can.
    pub(super) fn error(&self, asked: &Asked) -> Error {
        let Self { any: _, used, cooling, unprovable } = *self;
        Error::Exhausted { set: asked.set.to_string(), used, cooling, unprovable }
    }
}

impl Request<'_> {
    /// Win back addresses of a set.
    pub(super) fn reclaim<S: Shelf>(&self, shelf: &S, asked: &Asked, judge: &dyn Judge) -> Result<Reclaimed, Error> {
        let mut seen = Reclaimed::default();
        let (mut dead, mut strays) = (Vec::new(), Vec::new());
        each_slot(shelf, |slot| {
            let Ok(slot) = slot else { return true };
            let Some(range) = asked.set.range_of(slot.address()) else { return true };
            match slot.lease() {
                None if range.reserves(slot.address()) => {}
                None => strays.push(slot.address()),
                Some(lease) => match judge.verdict(lease, self.now) {
                    Presence::Gone => dead.push(lease.clone()),
                    Presence::Present => seen.used += 1,
                    Presence::Unknown => seen.unprovable += 1,
                },
            }
            dead.len() < BATCH && strays.len() < BATCH
        })?;
        remove(shelf, &dead, self.now, &mut |lease| judge.taken_back(lease, &|| is_leased(shelf, &lease.owner)))?;
        // Also when somebody else took them back first: what was theirs can be had.
        seen.any = !dead.is_empty();
        for address in strays {
            seen.cooling += 1;
            seen.any |= self.bring_home(shelf, asked, address)?;
        }
        Ok(seen)
    }

    fn bring_home<S: Shelf>(&self, shelf: &S, asked: &Asked, address: IpAddr) -> Result<bool, Error> {
        let _guard = shelf.lock()?;
        let Some(mut disk) = shelf.open().map_err(Error::io("open", shelf.path()))? else { return Ok(true) };
        let mut transaction = Transaction::begin(&mut disk, shelf.path(), self.now.boot)?;
        let (Some((number, slot)), Some(range)) = (slot_at(&transaction, address)?, asked.set.range_of(address)) else {
            return Ok(false);
        };
        let (pool, _) = transaction.pool_at(range.start(), range.end())?;
        if slot.lease().is_some() {
            return Ok(false);
        }
        // Free in our own queue: another process released it a moment ago.
        if slot.pool != pool {
            transaction.adopt(number, &slot, pool)?;
            transaction.commit()?;
        }
        Ok(true)
    }
}

//! When a set has nothing left to give: move free addresses that are queued under other pools into its own, and take back
//! the leases of attachments that are provably dead. Looks and proves without the lock.

use std::net::IpAddr;

use store::{Locked, StoreDir, View};

use super::give::Request;
use super::look::is_leased;
use super::remove::remove;
use super::want::Asked;
use crate::error::Error;
use crate::liveness::{Liveness, Presence};

/// Addresses that are taken back at once.
const BATCH: usize = 64;

/// What was found in a set.
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
    /// Takes back addresses of a set.
    pub(super) fn reclaim<S: StoreDir>(
        &self,
        dir: &S,
        asked: &Asked,
        liveness: &dyn Liveness,
    ) -> Result<Reclaimed, Error> {
        let mut seen = Reclaimed::default();
        let (mut dead, mut strays) = (Vec::new(), Vec::new());
        store::each_slot(dir, |slot| {
            let Ok(slot) = slot else { return true };
            let Some(range) = asked.set.range_of(slot.address()) else { return true };
            match slot.lease() {
                None if range.reserves(slot.address()) => {}
                None => strays.push(slot.address()),
                Some(lease) => match liveness.presence(lease, self.now) {
                    Presence::Gone => dead.push(lease.clone()),
                    Presence::Present => seen.used += 1,
                    Presence::Unknown => seen.unprovable += 1,
                },
            }
            dead.len() < BATCH && strays.len() < BATCH
        })?;
        remove(dir, &dead, self.now, &mut |lease| liveness.taken_back(lease, &|| is_leased(dir, &lease.owner)))?;
        // Also when another process took them back first: they can be given.
        seen.any = !dead.is_empty();
        for address in strays {
            seen.cooling += 1;
            seen.any |= self.move_to_pool(dir, asked, address)?;
        }
        Ok(seen)
    }

    /// Moves a free address that is queued under another pool into the pool of its range. Whether it can be given now.
    fn move_to_pool<S: StoreDir>(&self, dir: &S, asked: &Asked, address: IpAddr) -> Result<bool, Error> {
        let mut store = Locked::open(dir, self.now.boot)?;
        let Some(mut change) = store.change()? else { return Ok(true) };
        let (Some((number, slot)), Some(range)) = (change.slot_at(address)?, asked.set.range_of(address)) else {
            return Ok(false);
        };
        let (pool, _) = change.pool_at(range.start(), range.end())?;
        if slot.lease().is_some() {
            return Ok(false);
        }
        // Free in its own pool's queue: another process released it a moment ago.
        if slot.pool != pool {
            change.move_to_pool(number, &slot, pool)?;
            change.commit()?;
        }
        Ok(true)
    }
}

//! A check of every line of a store and every link between them: the store's invariants in one place. Never writes.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::disk::Disk;
use crate::error::Error;
use crate::index::{Index, address_hash, owner_hash};
use crate::lease::Lease;
use crate::pool::Pool;
use crate::read::Snapshot;
use crate::slot::{Slot, SlotState};
use crate::{Corruption, Lines};

/// What an undamaged store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// All leases.
    pub leases: Vec<Lease>,
    /// Addresses in the order in which they were released, pool after pool.
    pub released: Vec<IpAddr>,
}

/// Check every line of a store and every link between them.
///
/// # Errors
/// The first thing that is not in step.
pub fn audit<D: Disk>(snapshot: &Snapshot<'_, D>) -> Result<Audit, Error> {
    of(snapshot)
}

fn of(view: &impl Lines) -> Result<Audit, Error> {
    let wrong = |slot: u32, what| Corruption(what).at(view.path(), view.layout().slot(slot).into());
    let pools = (0..view.state().pools).map(|pool| view.pool(pool)).collect::<Result<Vec<_>, _>>()?;
    let slots = (0..view.state().slots).map(|slot| view.slot(slot)).collect::<Result<Vec<_>, _>>()?;
    let mut addresses = HashSet::with_capacity(slots.len());
    let mut counted: HashMap<u32, (u32, u32)> = HashMap::new();
    let mut audit = Audit::default();
    for (number, slot) in (0..).zip(&slots) {
        let Some(pool) = pools.get(slot.pool as usize) else { return Err(wrong(number, "its pool is not there")) };
        let address = slot.address();
        if address < pool.start || address > pool.end {
            return Err(wrong(number, "its address is not of its pool"));
        }
        if !addresses.insert(address) {
            return Err(wrong(number, "two slots have one address"));
        }
        let counts = counted.entry(slot.pool).or_default();
        match slot.lease() {
            Some(lease) => {
                counts.0 += 1;
                audit.leases.push(lease.clone());
            }
            None => counts.1 += 1,
        }
    }
    for (number, pool) in (0..).zip(&pools) {
        if counted.get(&number).copied().unwrap_or_default() != (pool.leased, pool.free) {
            return Err(Corruption("its counters are wrong").at(view.path(), view.layout().pool(number).into()));
        }
        queue(&slots, number, pool, &mut audit.released).map_err(|(slot, what)| wrong(slot, what))?;
    }
    chains(view, Index::Addresses, &slots, slots.len())?;
    chains(view, Index::Owners, &slots, audit.leases.len())?;
    Ok(audit)
}

fn queue(slots: &[Slot], number: u32, pool: &Pool, released: &mut Vec<IpAddr>) -> Result<(), (u32, &'static str)> {
    let (mut before, mut next) = (None, pool.head);
    for _ in 0..pool.free {
        let Some(at) = next else { return Err((before.unwrap_or(0), "a queue is too short")) };
        match slots.get(at as usize) {
            Some(Slot { pool, state: SlotState::Free { address, prev, next: behind, .. }, .. })
                if *pool == number && *prev == before =>
            {
                released.push(*address);
                before = next;
                next = *behind;
            }
            _ => return Err((at, "it does not belong in its queue")),
        }
    }
    if next.is_some() || pool.tail != before {
        return Err((before.unwrap_or(0), "a queue does not end where it should"));
    }
    Ok(())
}

/// Every slot that belongs to an index is in exactly the chain of its bucket.
fn chains(view: &impl Lines, index: Index, slots: &[Slot], expected: usize) -> Result<(), Error> {
    let layout = view.layout();
    let mut seen = HashSet::with_capacity(expected);
    let mut read = None;
    for bucket in 0..u64::from(layout.buckets) {
        let place = index.bucket(layout, bucket);
        let line = match read {
            Some((number, line)) if number == place.line => line,
            _ => view.line(place.line)?,
        };
        read = Some((place.line, line));
        let wrong = |what| Corruption(what).at(view.path(), place.line.into());
        let mut next = index.head(&line, place).map_err(|corruption| corruption.at(view.path(), place.line.into()))?;
        while let Some(number) = next {
            let Some(slot) = slots.get(number as usize) else { return Err(wrong("a chain leads nowhere")) };
            let hash = match (index, slot.lease()) {
                (Index::Addresses, _) => address_hash(slot.address()),
                (Index::Owners, Some(lease)) => owner_hash(&lease.owner),
                (Index::Owners, None) => return Err(wrong("a free slot is in an owner's chain")),
            };
            if index.bucket(layout, hash) != place || !seen.insert(number) {
                return Err(wrong("a slot is in a chain that is not its own"));
            }
            next = match (index, &slot.state) {
                (Index::Addresses, _) => slot.address_next,
                (Index::Owners, SlotState::Leased { owner_next, .. }) => *owner_next,
                (Index::Owners, SlotState::Free { .. }) => None,
            };
        }
    }
    if seen.len() != expected {
        let at = index.bucket(layout, 0).line;
        return Err(Corruption("slots are missing from an index").at(view.path(), at.into()));
    }
    Ok(())
}

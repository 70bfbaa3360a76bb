//! Taking leases back: of one owner (DEL), of all who are not listed (GC), of all who are provably dead.
//! One removal for all selectors: each victim is looked at again under the lock, and must be what was judged.

use std::collections::BTreeSet;

use cni::Attachment;

use super::look::{is_leased, owned, select};
use super::{Judge, World};
use crate::error::Error;
use crate::lease::{Lease, Presence, Prover};
use crate::now::Stamp;
use crate::place::Place;
use crate::store::View;
use crate::store::disk::Shelf;
use crate::store::ledger::slots_of;
use crate::store::transaction::Transaction;

/// Lines that taking back one lease changes at most: slot, pool, owner's chain, end of the queue.
const LINES_EACH: usize = 4;

/// Take back what an attachment has. Nothing there, or no store at all, is success and creates nothing.
/// Needs no disk space.
pub fn release(place: &Place, owner: &Attachment) -> Result<Vec<Lease>, Error> {
    release_on(&place.shelf()?, owner, Stamp::now()?)
}

pub(super) fn release_on<S: Shelf>(shelf: &S, owner: &Attachment, now: Stamp) -> Result<Vec<Lease>, Error> {
    if shelf.open().map_err(Error::io("open", shelf.path()))?.is_none() {
        return Ok(Vec::new());
    }
    let _guard = match shelf.lock() {
        Ok(guard) => guard,
        // Without the lock nothing can be changed, but when there is nothing to change that is no matter.
        Err(error) => return if owned(shelf, owner)?.is_empty() { Ok(Vec::new()) } else { Err(error) },
    };
    let Some(mut disk) = shelf.open().map_err(Error::io("open", shelf.path()))? else { return Ok(Vec::new()) };
    let mut released = Vec::new();
    loop {
        let mut transaction = Transaction::begin(&mut disk, shelf.path(), now.boot)?;
        let mut slots = slots_of(&transaction, owner)?;
        while transaction.room() >= LINES_EACH
            && let Some((number, _)) = slots.pop()
        {
            // Read again: the one before may have been its neighbour in a chain.
            let slot = transaction.slot(number)?;
            transaction.take_back(number, &slot, now)?;
            released.extend(slot.lease().cloned());
        }
        transaction.commit()?;
        if slots.is_empty() {
            return Ok(released);
        }
    }
}

/// Take back exactly these leases: what an ADD does with its own when it fails. One that was taken back meanwhile, or given
/// again to the same attachment, is left alone.
pub fn give_back(place: &Place, leases: &[Lease]) -> Result<(), Error> {
    remove(&place.shelf()?, leases, Stamp::now()?, &mut |_| {})
}

/// What GC does beside the store, the lock not held.
pub trait Collector {
    /// A lease is about to go: remove what it served. False keeps it.
    fn detach(&mut self, lease: &Lease) -> bool;

    /// A lease was taken back.
    fn taken_back(&mut self, _lease: &Lease) {}
}

/// Serves nothing: leases go at once.
impl Collector for () {
    fn detach(&mut self, _lease: &Lease) -> bool {
        true
    }
}

/// Take back every lease of the network whose owner is not in `keep`, alive or not (the GC verb).
/// A lease that was given after `began` is kept: the list cannot know of it. When some could not be taken back, the others
/// were, and the error says why.
pub fn retain(
    place: &Place,
    keep: &BTreeSet<Attachment>,
    began: Stamp,
    collector: &mut dyn Collector,
) -> Result<(), Error> {
    retain_on(&place.shelf()?, keep, began, Stamp::now()?, collector)
}

pub(super) fn retain_on<S: Shelf>(
    shelf: &S,
    keep: &BTreeSet<Attachment>,
    began: Stamp,
    now: Stamp,
    collector: &mut dyn Collector,
) -> Result<(), Error> {
    let newer = |lease: &Lease| lease.since.boot == began.boot && lease.since.millis > began.millis;
    let (mut victims, damage) = select(shelf, |lease| !keep.contains(&lease.owner) && !newer(lease))?;
    victims.retain(|lease| collector.detach(lease));
    let done = remove(shelf, &victims, now, &mut |lease| collector.taken_back(lease));
    damage.map_or(done, Err)
}

/// What a scavenge saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scavenged {
    /// Leases taken back.
    pub removed: u64,
    /// Leases whose owner is provably there.
    pub alive: u64,
    /// Leases of which it cannot be said: they stay.
    pub unknown: u64,
}

/// Take back what is provably dead: host link gone and network namespace gone. `removed` is told of each lease.
pub fn scavenge(place: &Place, prover: &dyn Prover, removed: &mut dyn FnMut(&Lease)) -> Result<Scavenged, Error> {
    scavenge_on(&place.shelf()?, &World(prover), Stamp::now()?, removed)
}

pub(super) fn scavenge_on<S: Shelf>(
    shelf: &S,
    judge: &dyn Judge,
    now: Stamp,
    removed: &mut dyn FnMut(&Lease),
) -> Result<Scavenged, Error> {
    let mut seen = Scavenged::default();
    let (victims, damage) = select(shelf, |lease| match judge.verdict(lease, now) {
        Presence::Gone => true,
        Presence::Present => {
            seen.alive += 1;
            false
        }
        Presence::Unknown => {
            seen.unknown += 1;
            false
        }
    })?;
    let done = remove(shelf, &victims, now, &mut |lease| {
        seen.removed += 1;
        judge.taken_back(lease, &|| is_leased(shelf, &lease.owner));
        removed(lease);
    });
    damage.map_or(done, Err).map(|()| seen)
}

/// Void what an earlier boot left and whose namespace is provably gone, then mark the store as judged.
pub(super) fn sweep_boot<S: Shelf>(shelf: &S, judge: &dyn Judge, now: Stamp) -> Result<(), Error> {
    let suspect = |lease: &Lease| lease.since.boot != now.boot;
    // Damage elsewhere must not stop this: those who meet it report it.
    let (victims, _damage) =
        select(shelf, |lease| suspect(lease) && judge.netns(&lease.proof, false) == Presence::Gone)?;
    match remove(shelf, &victims, now, &mut |_| {}) {
        Ok(()) | Err(Error::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let _guard = shelf.lock()?;
    let Some(mut disk) = shelf.open().map_err(Error::io("open", shelf.path()))? else { return Ok(()) };
    let mut transaction = Transaction::begin(&mut disk, shelf.path(), now.boot)?;
    transaction.set_swept();
    transaction.commit()
}

/// Take back these leases, as many with each commit as fit, the lock let go between. A victim that is no longer what
/// it was is left alone. One that cannot be taken back does not stop the others; the first error is returned.
pub(super) fn remove<S: Shelf>(
    shelf: &S,
    victims: &[Lease],
    now: Stamp,
    removed: &mut dyn FnMut(&Lease),
) -> Result<(), Error> {
    let (mut left, mut failed) = (victims, Ok(()));
    let mut most = usize::MAX;
    while !left.is_empty() {
        match remove_some(shelf, &left[..left.len().min(most)], now, removed) {
            Ok(done) => left = &left[done..],
            Err(error) if most == 1 => {
                failed = failed.and(Err(error));
                left = &left[1..];
            }
            // One of many is damaged: from here on one by one.
            Err(Error::Damaged { .. }) => most = 1,
            Err(error) => return failed.and(Err(error)),
        }
    }
    failed
}

/// One commit's worth; returns how many victims are settled.
fn remove_some<S: Shelf>(
    shelf: &S,
    victims: &[Lease],
    now: Stamp,
    removed: &mut dyn FnMut(&Lease),
) -> Result<usize, Error> {
    let mut taken = Vec::new();
    let mut settled = 0;
    let _guard = shelf.lock()?;
    let Some(mut disk) = shelf.open().map_err(Error::io("open", shelf.path()))? else { return Ok(victims.len()) };
    let mut transaction = Transaction::begin(&mut disk, shelf.path(), now.boot)?;
    for victim in victims {
        if transaction.room() < LINES_EACH {
            break;
        }
        let slots = slots_of(&transaction, &victim.owner)?;
        if let Some((number, slot)) =
            slots.iter().find(|(_, slot)| slot.lease().is_some_and(|lease| lease.is_same(victim)))
        {
            transaction.take_back(*number, slot, now)?;
            taken.push(victim);
        }
        settled += 1;
    }
    transaction.commit()?;
    drop(_guard);
    taken.into_iter().for_each(removed);
    Ok(settled)
}

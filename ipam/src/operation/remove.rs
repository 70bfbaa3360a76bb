//! Taking leases back: of one owner (DEL), of all who are not listed (GC), of all who are provably dead.
//! One removal for all selectors: each victim is looked at again under the lock, and must be what was judged.

use std::collections::BTreeSet;

use cni::Attachment;
use store::{Lease, Locked, Stamp, StoreDir, View};

use super::look::{is_leased, leases_of_in, select};
use crate::error::Error;
use crate::liveness::{Liveness, Presence};
use crate::place::Place;

/// Take back what an attachment has. Nothing there, or no store at all, is success and creates nothing.
/// Needs no disk space.
pub fn release(place: &Place, owner: &Attachment) -> Result<Vec<Lease>, Error> {
    release_in(&place.dir()?, owner, Stamp::now()?)
}

/// See [`release`].
pub fn release_in<S: StoreDir>(dir: &S, owner: &Attachment, now: Stamp) -> Result<Vec<Lease>, Error> {
    if dir.open().map_err(store::Error::io("open", dir.path()))?.is_none() {
        return Ok(Vec::new());
    }
    let mut store = match Locked::open(dir, now.boot) {
        Ok(store) => store,
        // Without the lock nothing can be changed, which does not matter when there is nothing to change.
        Err(error) => {
            return if leases_of_in(dir, owner)?.is_empty() { Ok(Vec::new()) } else { Err(error.into()) };
        }
    };
    let mut released = Vec::new();
    loop {
        let Some(mut change) = store.change()? else { return Ok(released) };
        let mut slots = change.slots_of(owner)?;
        while change.can_take_back()
            && let Some((number, _)) = slots.pop()
        {
            // Read again: the one before may have been its neighbour in a chain.
            let slot = change.slot(number)?;
            change.take_back(number, &slot, now)?;
            released.extend(slot.lease().cloned());
        }
        change.commit()?;
        if slots.is_empty() {
            return Ok(released);
        }
    }
}

/// Take back exactly these leases: what an ADD does with its own when it fails. One that was taken back meanwhile, or given
/// again to the same attachment, is left alone.
pub fn give_back(place: &Place, leases: &[Lease]) -> Result<(), Error> {
    remove(&place.dir()?, leases, Stamp::now()?, &mut |_| {})
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
    retain_in(&place.dir()?, keep, began, Stamp::now()?, collector)
}

/// See [`retain`].
pub fn retain_in<S: StoreDir>(
    dir: &S,
    keep: &BTreeSet<Attachment>,
    began: Stamp,
    now: Stamp,
    collector: &mut dyn Collector,
) -> Result<(), Error> {
    let newer = |lease: &Lease| lease.since.boot == began.boot && lease.since.millis > began.millis;
    let (mut victims, damage) = select(dir, |lease| !keep.contains(&lease.owner) && !newer(lease))?;
    victims.retain(|lease| collector.detach(lease));
    let done = remove(dir, &victims, now, &mut |lease| collector.taken_back(lease));
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

/// Take back what is provably dead: host link gone and network namespace gone. `removed` is called with each lease.
pub fn scavenge(place: &Place, liveness: &dyn Liveness, removed: &mut dyn FnMut(&Lease)) -> Result<Scavenged, Error> {
    scavenge_in(&place.dir()?, liveness, Stamp::now()?, removed)
}

/// See [`scavenge`].
pub fn scavenge_in<S: StoreDir>(
    dir: &S,
    liveness: &dyn Liveness,
    now: Stamp,
    removed: &mut dyn FnMut(&Lease),
) -> Result<Scavenged, Error> {
    let mut seen = Scavenged::default();
    let (victims, damage) = select(dir, |lease| match liveness.presence(lease, now) {
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
    let done = remove(dir, &victims, now, &mut |lease| {
        seen.removed += 1;
        liveness.taken_back(lease, &|| is_leased(dir, &lease.owner));
        removed(lease);
    });
    damage.map_or(done, Err).map(|()| seen)
}

/// Void what an earlier boot left and whose namespace is provably gone, then mark the store as judged.
pub fn void_earlier_boots<S: StoreDir>(dir: &S, liveness: &dyn Liveness, now: Stamp) -> Result<(), Error> {
    let suspect = |lease: &Lease| lease.since.boot != now.boot;
    // Damage elsewhere must not stop this: those who meet it report it.
    let (victims, _damage) =
        select(dir, |lease| suspect(lease) && liveness.netns(&lease.proof, false) == Presence::Gone)?;
    match remove(dir, &victims, now, &mut |_| {}) {
        Ok(()) | Err(Error::Store(store::Error::Damaged { .. })) => {}
        Err(error) => return Err(error),
    }
    let mut store = Locked::open(dir, now.boot)?;
    let Some(mut change) = store.change()? else { return Ok(()) };
    change.set_swept();
    Ok(change.commit()?)
}

/// Take back these leases, as many with each commit as fit, the lock released between them. A victim that is no longer what
/// it was is left alone. One that cannot be taken back does not stop the others; the first error is returned.
pub fn remove<S: StoreDir>(
    dir: &S,
    victims: &[Lease],
    now: Stamp,
    removed: &mut dyn FnMut(&Lease),
) -> Result<(), Error> {
    let (mut left, mut failed) = (victims, Ok(()));
    let mut most = usize::MAX;
    while !left.is_empty() {
        match remove_some(dir, &left[..left.len().min(most)], now, removed) {
            Ok(done) => left = &left[done..],
            Err(error) if most == 1 => {
                failed = failed.and(Err(error));
                left = &left[1..];
            }
            // One of many is damaged: from here on one by one.
            Err(Error::Store(store::Error::Damaged { .. })) => most = 1,
            Err(error) => return failed.and(Err(error)),
        }
    }
    failed
}

/// One commit's worth; returns how many victims are settled.
fn remove_some<S: StoreDir>(
    dir: &S,
    victims: &[Lease],
    now: Stamp,
    removed: &mut dyn FnMut(&Lease),
) -> Result<usize, Error> {
    let mut taken = Vec::new();
    let mut settled = 0;
    let mut store = Locked::open(dir, now.boot)?;
    let Some(mut change) = store.change()? else { return Ok(victims.len()) };
    for victim in victims {
        if !change.can_take_back() {
            break;
        }
        let slots = change.slots_of(&victim.owner)?;
        if let Some((number, slot)) =
            slots.iter().find(|(_, slot)| slot.lease().is_some_and(|lease| lease.is_same(victim)))
        {
            change.take_back(*number, slot, now)?;
            taken.push(victim);
        }
        settled += 1;
    }
    change.commit()?;
    drop(store);
    taken.into_iter().for_each(removed);
    Ok(settled)
}

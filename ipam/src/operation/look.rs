//! Looking at leases, without the lock and without writing.

use cni::Attachment;
use store::{Audit, Lease, Snapshot, StoreDir, View};

use crate::error::Error;
use crate::place::Place;

/// The leases of one attachment. None when there is no store.
pub fn leases_of(place: &Place, owner: &Attachment) -> Result<Vec<Lease>, Error> {
    leases_of_in(&place.dir()?, owner)
}

/// Whether an attachment still has all of these leases, which were given to it together.
pub fn are_held(place: &Place, owner: &Attachment, leases: &[Lease]) -> Result<bool, Error> {
    are_held_in(&place.dir()?, owner, leases)
}

/// The same in any store directory.
pub fn are_held_in<S: StoreDir>(dir: &S, owner: &Attachment, leases: &[Lease]) -> Result<bool, Error> {
    let all = |held: &[Lease]| leases.iter().all(|lease| held.iter().any(|other| other.is_same(lease)));
    // A lease that is seen was there after the call began, whatever is committed meanwhile; one that is not seen may be.
    match store::look_once(dir, |snapshot| owned(snapshot, owner)) {
        Ok(Some(held)) if all(&held) => Ok(true),
        _ => Ok(all(&leases_of_in(dir, owner)?)),
    }
}

/// All leases of a network, each group of some hundred as one moment saw it. None when there is no store.
pub fn leases(place: &Place) -> Result<Vec<Lease>, Error> {
    let (leases, damage) = select(&place.dir()?, |_| true)?;
    damage.map_or(Ok(leases), Err)
}

/// Check every line of a network's store and every link between them. `None` when there is no store.
/// Costs memory and time with the number of addresses ever used.
pub fn audit(place: &Place) -> Result<Option<Audit>, Error> {
    Ok(store::read(&place.dir()?, store::audit)?)
}

/// The leases of one attachment, in any store directory.
pub fn leases_of_in<S: StoreDir>(dir: &S, owner: &Attachment) -> Result<Vec<Lease>, Error> {
    Ok(store::read(dir, |snapshot| owned(snapshot, owner))?.unwrap_or_default())
}

fn owned<D: store::Disk>(snapshot: &Snapshot<'_, D>, owner: &Attachment) -> Result<Vec<Lease>, store::Error> {
    let slots = snapshot.slots_of(owner)?;
    let mut leases: Vec<_> = slots.iter().filter_map(|(_, slot)| slot.lease().cloned()).collect();
    leases.reverse();
    Ok(leases)
}

/// Whether an attachment has any lease. A store that cannot be read may hold one.
pub(super) fn is_leased<S: StoreDir>(dir: &S, owner: &Attachment) -> bool {
    leases_of_in(dir, owner).map_or(true, |leases| !leases.is_empty())
}

/// The leases that a selector picks, and the first damage that was met on the way.
pub fn select<S: StoreDir>(
    dir: &S,
    mut pick: impl FnMut(&Lease) -> bool,
) -> Result<(Vec<Lease>, Option<Error>), Error> {
    let (mut leases, mut damage) = (Vec::new(), None);
    store::each_slot(dir, |slot| {
        match slot {
            Ok(slot) => leases.extend(slot.lease().filter(|lease| pick(lease)).cloned()),
            Err(error) => damage = damage.take().or(Some(error.into())),
        }
        true
    })?;
    Ok((leases, damage))
}

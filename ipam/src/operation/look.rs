//! Looking at leases, without the lock and without writing.

use cni::Attachment;

use crate::error::Error;
use crate::lease::Lease;
use crate::place::Place;
use crate::store::audit::{self, Audit};
use crate::store::disk::Shelf;
use crate::store::ledger;
use crate::store::read::{each_slot, read};

/// The leases of one attachment. None when there is no store.
pub fn leases_of(place: &Place, owner: &Attachment) -> Result<Vec<Lease>, Error> {
    owned(&place.shelf()?, owner)
}

/// Whether an attachment still has all of these leases, which were given to it together.
pub fn are_held(place: &Place, owner: &Attachment, leases: &[Lease]) -> Result<bool, Error> {
    are_held_on(&place.shelf()?, owner, leases)
}

pub(super) fn are_held_on<S: Shelf>(shelf: &S, owner: &Attachment, leases: &[Lease]) -> Result<bool, Error> {
    let held = owned(shelf, owner)?;
    Ok(leases.iter().all(|lease| held.iter().any(|other| other.is_same(lease))))
}

/// All leases of a network, each group of some hundred as one moment saw it. None when there is no store.
pub fn leases(place: &Place) -> Result<Vec<Lease>, Error> {
    let (leases, damage) = select(&place.shelf()?, |_| true)?;
    damage.map_or(Ok(leases), Err)
}

/// Check every line of a network's store and every link between them. `None` when there is no store.
/// Costs memory and time with the number of addresses ever used.
pub fn audit(place: &Place) -> Result<Option<Audit>, Error> {
    read(&place.shelf()?, |snapshot| audit::audit(snapshot))
}

pub(super) fn owned<S: Shelf>(shelf: &S, owner: &Attachment) -> Result<Vec<Lease>, Error> {
    let slots = read(shelf, |snapshot| ledger::slots_of(snapshot, owner))?.unwrap_or_default();
    let mut leases: Vec<_> = slots.iter().filter_map(|(_, slot)| slot.lease().cloned()).collect();
    leases.reverse();
    Ok(leases)
}

/// Whether an attachment has any lease. A store that cannot be read may hold one.
pub(super) fn is_leased<S: Shelf>(shelf: &S, owner: &Attachment) -> bool {
    owned(shelf, owner).map_or(true, |leases| !leases.is_empty())
}

/// The leases that a selector picks, and the first damage that was met on the way.
pub(super) fn select<S: Shelf>(
    shelf: &S,
    mut pick: impl FnMut(&Lease) -> bool,
) -> Result<(Vec<Lease>, Option<Error>), Error> {
    let (mut leases, mut damage) = (Vec::new(), None);
    each_slot(shelf, |slot| {
        match slot {
            Ok(slot) => leases.extend(slot.lease().filter(|lease| pick(lease)).cloned()),
            Err(error) => damage = damage.take().or(Some(error)),
        }
        true
    })?;
    Ok((leases, damage))
}

//! Giving addresses: all that an attachment asks for in one commit.
//! Owns the way from request to lease: look under the lock, prove without it, look again. Bounded in rounds.

use cni::Attachment;
use ipnetwork::IpNetwork;

use super::remove::{remove, sweep_boot};
use super::want::{Asked, Require, Want};
use super::{Judge, World};
use crate::allocate::{Choice, Offer, Rest, choose};
use crate::error::Error;
use crate::lease::{Lease, Presence, Proof, Prover};
use crate::now::Stamp;
use crate::place::Place;
use crate::range::{Range, after};
use crate::store::View;
use crate::store::disk::{Disk, Shelf};
use crate::store::layout::{BUCKETS_MOST, Layout};
use crate::store::ledger::{Numbered, pool_of, slot_at, slots_of};
use crate::store::pool::Pool;
use crate::store::read::each_slot;
use crate::store::rebuild::{create, rebuild};
use crate::store::slot::{Held, Slot};
use crate::store::transaction::Transaction;

/// Times that an ADD looks again after it proved something: others may take what it won back.
const ROUNDS: usize = 16;
/// Dead leases that are proved at once when a set is exhausted.
const BATCH: usize = 64;
/// An index grows when it holds this many slots for each bucket, by so much.
const LOAD: u32 = 2;
const GROWTH: u32 = 4;

/// Give an attachment one address of each set, in one commit. Asked again for an attachment that is provably dead
/// (its host link or its namespace is gone), the same addresses are completed; otherwise that is a duplicate.
pub fn lease(
    place: &Place,
    want: &Want,
    owner: &Attachment,
    proof: &Proof,
    prover: &dyn Prover,
) -> Result<Vec<Lease>, Error> {
    let request = Request { want, owner, proof, network: place.network.as_str(), now: Stamp::now()? };
    request.give(&place.shelf()?, &World(prover))
}

/// One ADD.
pub(super) struct Request<'a> {
    pub(super) want: &'a Want,
    pub(super) owner: &'a Attachment,
    pub(super) proof: &'a Proof,
    pub(super) network: &'a str,
    pub(super) now: Stamp,
}

/// What one look under the lock came to.
enum Outcome {
    Given(Vec<Lease>),
    /// Leases of an earlier boot were not judged yet.
    Unswept,
    /// The owner has these already, and they were not proved dead.
    Held(Vec<Lease>),
    /// The set with this position has nothing to give.
    Exhausted(usize),
}

impl Request<'_> {
    pub(super) fn give<S: Shelf>(&self, shelf: &S, judge: &dyn Judge) -> Result<Vec<Lease>, Error> {
        shelf.prepare()?;
        let mut dead = Vec::new();
        let mut without = vec![false; self.want.asked.len()];
        let mut exhausted = None;
        for _ in 0..ROUNDS {
            match self.attempt(shelf, &dead, &without)? {
                Outcome::Given(leases) => return Ok(leases),
                Outcome::Unswept => sweep_boot(shelf, judge, self.now)?,
                Outcome::Held(leases) => {
                    if let Some(alive) = leases.iter().find(|lease| !self.is_dead(lease, judge)) {
                        return Err(duplicate(alive));
                    }
                    dead = leases;
                }
                Outcome::Exhausted(position) => {
                    let asked = &self.want.asked[position];
                    let reclaimed = self.reclaim(shelf, asked, judge)?;
                    if !reclaimed.any {
                        let error = reclaimed.error(asked);
                        if self.want.require == Require::Both {
                            return Err(error);
                        }
                        without[position] = true;
                        let first = exhausted.get_or_insert(error);
                        if without.iter().all(|without| *without) {
                            return Err(std::mem::replace(first, Error::RequestedUnplaced { addresses: Vec::new() }));
                        }
                    }
                }
            }
        }
        Err(Error::Unsteady { path: shelf.path().to_path_buf() })
    }

    /// For an ADD of the same owner one proof is enough: its link was never made, or its namespace is no more.
    fn is_dead(&self, lease: &Lease, judge: &dyn Judge) -> bool {
        let link = lease.proof.host_link.as_deref();
        link.is_some_and(|link| judge.host_link(link) == Presence::Gone)
            || judge.netns(&lease.proof, lease.since.boot == self.now.boot) == Presence::Gone
    }

    fn attempt<S: Shelf>(&self, shelf: &S, dead: &[Lease], without: &[bool]) -> Result<Outcome, Error> {
        let _guard = shelf.lock()?;
        let mut disk = match shelf.open().map_err(Error::io("open", shelf.path()))? {
            Some(disk) => disk,
            None => create(shelf, self.network, Layout::for_addresses(self.want.capacity()), self.now.boot)?,
        };
        for round in 0..3 {
            let transaction = Transaction::begin(&mut disk, shelf.path(), self.now.boot)?;
            if transaction.state().swept != self.now.boot {
                return Ok(Outcome::Unswept);
            }
            let Layout { buckets, pools } = *transaction.layout();
            let crowded = buckets < BUCKETS_MOST && transaction.state().slots >= LOAD * buckets;
            let full = self.lacks_pools(&transaction)?;
            if !crowded && !full {
                return self.choose_all(transaction, dead, without);
            }
            let wanted = |pool: &Pool| {
                !full || self.ranges().any(|range| (range.start(), range.end()) == (pool.start, pool.end))
            };
            let layout = Layout {
                buckets: if crowded { (buckets * GROWTH).min(BUCKETS_MOST) } else { buckets },
                pools: if full && round > 0 { pools * 2 } else { pools },
            };
            match rebuild(shelf, &mut disk, self.network, layout, self.now.boot, &wanted) {
                Ok(grown) => disk = grown,
                // Crowded chains are only slower.
                Err(error) if error.is_no_space() && !full => break,
                Err(error) => return Err(error),
            }
        }
        // Opened again: a rebuild that failed at its very end has put the new file in its place, and what would be
        // written to the old one would be lost.
        let opened = shelf.open().map_err(Error::io("open", shelf.path()))?;
        let mut disk = opened.ok_or_else(|| Error::Unsteady { path: shelf.path().to_path_buf() })?;
        let transaction = Transaction::begin(&mut disk, shelf.path(), self.now.boot)?;
        self.choose_all(transaction, dead, without)
    }

    fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.want.asked.iter().flat_map(|asked| asked.set.ranges())
    }

    /// Are there too few lines left for the pools that would be new?
    fn lacks_pools(&self, view: &impl View) -> Result<bool, Error> {
        let left = (view.layout().pools - view.state().pools) as usize;
        if self.ranges().count() <= left {
            return Ok(false);
        }
        let mut new = 0;
        for range in self.ranges() {
            new += usize::from(pool_of(view, range.start(), range.end())?.is_none());
        }
        Ok(new > left)
    }

    /// An address of each set, then the commit.
    fn choose_all<D: Disk>(
        &self,
        mut transaction: Transaction<'_, D>,
        dead: &[Lease],
        without: &[bool],
    ) -> Result<Outcome, Error> {
        let mut held = slots_of(&transaction, self.owner)?;
        if held.iter().filter_map(|(_, slot)| slot.lease()).any(|lease| !dead.contains(lease)) {
            return Ok(Outcome::Held(held.iter().filter_map(|(_, slot)| slot.lease().cloned()).collect()));
        }
        let keeps = |asked: &Asked, slot: &Slot| match asked.address {
            Some(address) => slot.address() == address,
            None => asked.set.range_of(slot.address()).is_some_and(|range| !range.reserves(slot.address())),
        };
        // What no set can keep goes back first, so that nothing is given twice within this commit.
        let kept: Vec<Option<Numbered>> = self
            .want
            .asked
            .iter()
            .map(|asked| {
                let position = held.iter().position(|(_, slot)| keeps(asked, slot));
                position.map(|position| held.swap_remove(position))
            })
            .collect();
        for (number, _) in held {
            let slot = transaction.slot(number)?;
            transaction.take_back(number, &slot, self.now)?;
        }
        let mut leases = Vec::with_capacity(self.want.asked.len());
        for (position, (asked, kept)) in self.want.asked.iter().zip(kept).enumerate() {
            if let Some((number, _)) = kept {
                let slot = transaction.slot(number)?;
                let lease = self.lease_in(asked.set.range_of(slot.address()), &slot);
                transaction.renew(number, &slot, lease.clone())?;
                leases.push(lease);
            } else if without[position] {
            } else if let Some(lease) = self.choose_one(&mut transaction, asked)? {
                leases.push(lease);
            } else {
                return Ok(Outcome::Exhausted(position));
            }
        }
        transaction.commit()?;
        Ok(Outcome::Given(leases))
    }

    fn choose_one<D: Disk>(&self, transaction: &mut Transaction<'_, D>, asked: &Asked) -> Result<Option<Lease>, Error> {
        if let Some(address) = asked.address {
            let taken = || Error::RequestedTaken { address, set: asked.set.to_string() };
            let range = asked.set.range_of(address).ok_or_else(taken)?;
            return match slot_at(transaction, address)? {
                Some((_, slot)) if slot.lease().is_some() => Err(taken()),
                Some((number, slot)) => self.again(transaction, range, number, &slot).map(Some),
                None => {
                    let (number, _) = self.pool(transaction, range)?;
                    let lease = self.lease(range, address, false);
                    transaction.give_new(number, lease.clone())?;
                    Ok(Some(lease))
                }
            };
        }
        for range in asked.set.ranges() {
            if let Some(lease) = self.choose_in(transaction, range)? {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    fn choose_in<D: Disk>(&self, transaction: &mut Transaction<'_, D>, range: &Range) -> Result<Option<Lease>, Error> {
        let (number, pool) = self.pool(transaction, range)?;
        let oldest = oldest(transaction, range, &pool)?;
        let used = pool.leased.saturating_add(pool.free);
        let rest = oldest.as_ref().map(|(_, slot)| self.rest(slot));
        let offer = Offer { fresh: pool.cursor.is_some(), used, oldest: rest };
        let mut choice = choose(&offer, self.want.cooldown);
        if choice == Choice::Fresh {
            match fresh(transaction, range, &pool)? {
                None => transaction.put_pool(number, &Pool { cursor: None, ..pool }),
                Some(address) => match transaction.grow() {
                    Ok(()) => {
                        let cursor = after(address).filter(|next| *next <= range.end());
                        transaction.put_pool(number, &Pool { cursor, ..pool });
                        let lease = self.lease(range, address, false);
                        transaction.give_new(number, lease.clone())?;
                        return Ok(Some(lease));
                    }
                    // The disk is full, but a released address needs no space.
                    Err(error) if error.is_no_space() && oldest.is_some() => {}
                    Err(error) => return Err(error),
                },
            }
            choice = choose(&Offer { fresh: false, ..offer }, self.want.cooldown);
        }
        match (choice, oldest) {
            (Choice::Oldest { .. }, Some((number, slot))) => self.again(transaction, range, number, &slot).map(Some),
            _ => Ok(None),
        }
    }

    fn again<D: Disk>(
        &self,
        transaction: &mut Transaction<'_, D>,
        range: &Range,
        number: u32,
        slot: &Slot,
    ) -> Result<Lease, Error> {
        let early = matches!(self.rest(slot), Rest::For(rest) if rest < self.want.cooldown);
        let lease = self.lease(range, slot.address(), early);
        transaction.give_again(number, slot, lease.clone())?;
        Ok(lease)
    }

    /// The pool of a range, made if this is its first use.
    fn pool<D: Disk>(&self, transaction: &mut Transaction<'_, D>, range: &Range) -> Result<(u32, Pool), Error> {
        if let Some(found) = pool_of(transaction, range.start(), range.end())? {
            return Ok(found);
        }
        let most = transaction.layout().pools as usize;
        let number = transaction.new_pool().ok_or(Error::TooManySets { sets: most + 1, most })?;
        let pool = Pool::new(range.start(), range.end());
        transaction.put_pool(number, &pool);
        Ok((number, pool))
    }

    fn rest(&self, slot: &Slot) -> Rest {
        match &slot.held {
            Held::Free { since, .. } => since.age(&self.now).map_or(Rest::SinceBefore, Rest::For),
            Held::Leased { .. } => Rest::SinceBefore,
        }
    }

    fn lease(&self, range: &Range, address: std::net::IpAddr, reused_early: bool) -> Lease {
        let prefix = range.subnet().prefix();
        let address = IpNetwork::new(address, prefix).unwrap_or_else(|_| IpNetwork::from(address));
        let (owner, proof) = (self.owner.clone(), self.proof.clone());
        Lease { address, gateway: range.gateway(), owner, proof, reused_early, since: self.now }
    }

    /// The lease of a slot that its dead owner's next ADD keeps.
    fn lease_in(&self, range: Option<&Range>, slot: &Slot) -> Lease {
        let reused_early = slot.lease().is_some_and(|lease| lease.reused_early);
        match (range, slot.lease()) {
            (Some(range), _) => self.lease(range, slot.address(), reused_early),
            (None, Some(lease)) => Lease { proof: self.proof.clone(), since: self.now, ..lease.clone() },
            (None, None) => unreachable!("a kept slot is leased"),
        }
    }

    /// Nothing is left to take: bring home what lies in other pools' queues, and take back what is provably dead.
    fn reclaim<S: Shelf>(&self, shelf: &S, asked: &Asked, judge: &dyn Judge) -> Result<Reclaimed, Error> {
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
        remove(shelf, &dead, self.now, &mut |_| seen.any = true)?;
        for address in strays {
            seen.cooling += 1;
            seen.any |= self.bring_home(shelf, asked, address)?;
        }
        Ok(seen)
    }

    fn bring_home<S: Shelf>(&self, shelf: &S, asked: &Asked, address: std::net::IpAddr) -> Result<bool, Error> {
        let _guard = shelf.lock()?;
        let Some(mut disk) = shelf.open().map_err(Error::io("open", shelf.path()))? else { return Ok(true) };
        let mut transaction = Transaction::begin(&mut disk, shelf.path(), self.now.boot)?;
        let (Some((number, slot)), Some(range)) = (slot_at(&transaction, address)?, asked.set.range_of(address)) else {
            return Ok(false);
        };
        let (pool, _) = self.pool(&mut transaction, range)?;
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

#[derive(Default)]
struct Reclaimed {
    any: bool,
    used: u64,
    cooling: u64,
    unprovable: u64,
}

impl Reclaimed {
    fn error(&self, asked: &Asked) -> Error {
        let Self { any: _, used, cooling, unprovable } = *self;
        Error::Exhausted { set: asked.set.to_string(), used, cooling, unprovable }
    }
}

fn duplicate(lease: &Lease) -> Error {
    Error::Duplicate { address: lease.address.ip(), owner: lease.owner.container_id.to_string() }
}

/// The slot released the longest ago that may be given; what is reserved by now stays where it is.
fn oldest(view: &impl View, range: &Range, pool: &Pool) -> Result<Option<Numbered>, Error> {
    let mut next = pool.head;
    for _ in 0..=pool.free {
        let Some(number) = next else { return Ok(None) };
        let slot = view.slot(number)?;
        if !range.reserves(slot.address()) {
            return Ok(Some((number, slot)));
        }
        next = match slot.held {
            Held::Free { next, .. } => next,
            Held::Leased { .. } => None,
        };
    }
    Ok(None)
}

/// The next address from the cursor on that is not reserved and has no slot.
fn fresh(view: &impl View, range: &Range, pool: &Pool) -> Result<Option<std::net::IpAddr>, Error> {
    let mut next = pool.cursor;
    while let Some(address) = next.filter(|address| *address <= range.end()) {
        if !range.reserves(address) && slot_at(view, address)?.is_none() {
            return Ok(Some(address));
        }
        next = after(address);
    }
    Ok(None)
}

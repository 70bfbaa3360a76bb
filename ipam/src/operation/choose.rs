//! Choosing an address for each set, and the one commit that gives them.
//! Decides what an attachment keeps, and what it is given: by name, by the cursor, or from the queue of released addresses.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use store::{Disk, Lease, Pool, Slot, SlotState, Transaction, View};

use super::give::{Outcome, Request};
use super::want::Asked;
use crate::allocate::{Choice, Offer, Rest, choose};
use crate::error::Error;
use crate::range::{Range, after};

impl Request<'_> {
    /// An address of each set, then the commit.
    pub(super) fn choose_all<D: Disk>(
        &self,
        mut transaction: Transaction<'_, D>,
        dead: &[Lease],
        without: &[bool],
    ) -> Result<Outcome, Error> {
        let mut held = transaction.slots_of(self.owner)?;
        if held.iter().filter_map(|(_, slot)| slot.lease()).any(|lease| !dead.contains(lease)) {
            return Ok(Outcome::Held(held.iter().filter_map(|(_, slot)| slot.lease().cloned()).collect()));
        }
        // What no set can keep goes back first, so that nothing is given twice within this commit.
        let mut kept = Vec::with_capacity(self.want.asked.len());
        for asked in &self.want.asked {
            let position = held.iter().position(|(_, slot)| keeps(asked, slot).is_some());
            kept.push(position.map(|position| held.swap_remove(position).0));
        }
        for (number, _) in held {
            let slot = transaction.slot(number)?;
            transaction.take_back(number, &slot, self.now)?;
        }
        let mut leases = Vec::with_capacity(self.want.asked.len());
        for (position, (asked, kept)) in self.want.asked.iter().zip(kept).enumerate() {
            let lease = match kept {
                Some(number) => self.keep(&mut transaction, asked, number)?,
                None if without[position] => continue,
                None => self.choose_one(&mut transaction, asked)?,
            };
            match lease {
                Some(lease) => leases.push(lease),
                None => return Ok(Outcome::Exhausted(position)),
            }
        }
        transaction.commit()?;
        Ok(Outcome::Given(leases))
    }

    /// The address that the owner had, with what proves it alive now.
    fn keep<D: Disk>(
        &self,
        transaction: &mut Transaction<'_, D>,
        asked: &Asked,
        number: u32,
    ) -> Result<Option<Lease>, Error> {
        let slot = transaction.slot(number)?;
        let Some(range) = keeps(asked, &slot) else { return Ok(None) };
        let early = slot.lease().is_some_and(|lease| lease.reused_early);
        let lease = self.lease(range, slot.address(), early);
        let lease = transaction.renew(number, &slot, lease)?;
        Ok(Some(lease))
    }

    fn choose_one<D: Disk>(&self, transaction: &mut Transaction<'_, D>, asked: &Asked) -> Result<Option<Lease>, Error> {
        if let Some(address) = asked.address {
            let taken = || Error::RequestedTaken { address, set: asked.set.to_string() };
            let range = asked.set.range_of(address).ok_or_else(taken)?;
            return match transaction.slot_at(address)? {
                Some((_, slot)) if slot.lease().is_some() => Err(taken()),
                Some((number, slot)) => Ok(Some(self.again(transaction, range, number, &slot)?)),
                None => {
                    let (number, _) = transaction.pool_at(range.start(), range.end())?;
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
        let (number, pool) = transaction.pool_at(range.start(), range.end())?;
        // A released address that is reserved by now stays in the queue.
        let oldest = transaction.oldest_free(&pool, |slot| !range.reserves(slot.address()))?;
        let used = pool.leased.saturating_add(pool.free);
        let rest = oldest.as_ref().map(|(_, slot)| self.rest(slot));
        let offer = Offer { fresh: pool.cursor.is_some(), used, oldest: rest };
        let mut choice = choose(&offer, self.want.cooldown);
        if choice == Choice::Fresh {
            match fresh(transaction, range, &pool)? {
                None => transaction.set_cursor(number, &pool, None),
                Some(address) => match transaction.grow() {
                    Ok(()) => {
                        let cursor = after(address).filter(|next| *next <= range.end());
                        transaction.set_cursor(number, &pool, cursor);
                        let lease = self.lease(range, address, false);
                        transaction.give_new(number, lease.clone())?;
                        return Ok(Some(lease));
                    }
                    // The disk is full, but a released address needs no space.
                    Err(error) if error.is_no_space() && oldest.is_some() => {}
                    Err(error) => return Err(error.into()),
                },
            }
            choice = choose(&Offer { fresh: false, ..offer }, self.want.cooldown);
        }
        match (choice, oldest) {
            (Choice::Oldest { .. }, Some((number, slot))) => Ok(Some(self.again(transaction, range, number, &slot)?)),
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
        Ok(transaction.give_again(number, slot, lease)?)
    }

    fn rest(&self, slot: &Slot) -> Rest {
        match &slot.state {
            SlotState::Free { since, .. } => since.age(&self.now).map_or(Rest::SinceBefore, Rest::For),
            SlotState::Leased { .. } => Rest::SinceBefore,
        }
    }

    fn lease(&self, range: &Range, address: IpAddr, reused_early: bool) -> Lease {
        let prefix = range.subnet().prefix();
        let address = IpNetwork::new(address, prefix).unwrap_or_else(|_| IpNetwork::from(address));
        let (owner, proof) = (self.owner.clone(), self.proof.clone());
        Lease { address, gateway: range.gateway(), owner, proof, reused_early, since: self.now }
    }
}

/// The range that lets an owner keep a slot: that of the address asked for by name, or any of the set that may give it.
fn keeps<'a>(asked: &'a Asked, slot: &Slot) -> Option<&'a Range> {
    let address = slot.address();
    let range = asked.set.range_of(address).filter(|range| !range.reserves(address));
    range.filter(|_| asked.address.is_none_or(|wanted| wanted == address))
}

/// The next address from the cursor on that is not reserved and has no slot.
fn fresh(view: &impl View, range: &Range, pool: &Pool) -> Result<Option<IpAddr>, Error> {
    let mut next = pool.cursor;
    while let Some(address) = next.filter(|address| *address <= range.end()) {
        if !range.reserves(address) && view.slot_at(address)?.is_none() {
            return Ok(Some(address));
        }
        next = after(address);
    }
    Ok(None)
}

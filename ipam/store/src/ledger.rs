//! The bookkeeping: finding leases, giving and taking back addresses, keeping chains, queues and counters in step.
//! Every link between lines is made here. Which address is given or taken back is the caller's choice.

use std::net::IpAddr;

use cni::Attachment;

use crate::disk::Disk;
use crate::error::Error;
use crate::index::{Bucket, Index, address_hash, owner_hash};
use crate::lease::Lease;
use crate::line::Line;
use crate::now::Stamp;
use crate::pool::Pool;
use crate::slot::{Slot, SlotState};
use crate::transaction::Transaction;
use crate::view::Numbered;
use crate::{Corruption, Lines};

/// All leased slots of an owner.
pub(crate) fn slots_of(view: &impl Lines, owner: &Attachment) -> Result<Vec<Numbered>, Error> {
    let mut found = Vec::new();
    walk(view, Index::Owners, owner_hash(owner), |number, slot| {
        if slot.lease().is_some_and(|lease| lease.owner == *owner) {
            found.push((number, slot.clone()));
        }
        false
    })?;
    Ok(found)
}

/// The slot of an address, if it was ever used.
pub(crate) fn slot_at(view: &impl Lines, address: IpAddr) -> Result<Option<Numbered>, Error> {
    let mut found = None;
    walk(view, Index::Addresses, address_hash(address), |number, slot| {
        if slot.address() == address {
            found = Some((number, slot.clone()));
        }
        found.is_some()
    })?;
    Ok(found)
}

/// The pool with these ends.
pub(crate) fn pool_of(view: &impl Lines, start: IpAddr, end: IpAddr) -> Result<Option<(u32, Pool)>, Error> {
    for number in 0..view.state().pools {
        let pool = view.pool(number)?;
        if (pool.start, pool.end) == (start, end) {
            return Ok(Some((number, pool)));
        }
    }
    Ok(None)
}

/// The first slot of a pool's queue that `pick` takes.
pub(crate) fn oldest_free(
    view: &impl Lines,
    pool: &Pool,
    mut pick: impl FnMut(&Slot) -> bool,
) -> Result<Option<Numbered>, Error> {
    let mut next = pool.head;
    for _ in 0..=pool.free {
        let Some(number) = next else { return Ok(None) };
        let slot = view.slot(number)?;
        if pick(&slot) {
            return Ok(Some((number, slot)));
        }
        next = match slot.state {
            SlotState::Free { next, .. } => next,
            SlotState::Leased { .. } => None,
        };
    }
    Ok(None)
}

/// Visit the slots of a chain until `visit` returns true.
fn walk(view: &impl Lines, index: Index, hash: u64, mut visit: impl FnMut(u32, &Slot) -> bool) -> Result<(), Error> {
    let mut next = head(view, index, index.bucket(view.layout(), hash))?;
    let mut steps = 0;
    while let Some(number) = next {
        let slot = view.slot(number)?;
        if visit(number, &slot) {
            return Ok(());
        }
        next = match (index, &slot.state) {
            (Index::Addresses, _) => slot.address_next,
            (Index::Owners, SlotState::Leased { owner_next, .. }) => *owner_next,
            (Index::Owners, SlotState::Free { .. }) => {
                return Err(flaw(view, number, "a free slot is in an owner's chain"));
            }
        };
        steps += 1;
        if steps > view.state().slots {
            return Err(flaw(view, number, "a chain has no end"));
        }
    }
    Ok(())
}

fn head(view: &impl Lines, index: Index, bucket: Bucket) -> Result<Option<u32>, Error> {
    index.head(&view.line(bucket.line)?, bucket).map_err(|corruption| corruption.at(view.path(), bucket.line.into()))
}

fn flaw(view: &impl Lines, slot: u32, what: &'static str) -> Error {
    Corruption(what).at(view.path(), view.layout().slot(slot).into())
}

impl<D: Disk> Transaction<'_, D> {
    /// Put a slot in its place.
    fn put_slot(&mut self, number: u32, slot: &Slot) -> Result<(), Error> {
        let at = self.layout().slot(number);
        let too_long =
            |excess| Error::DoesNotFit { what: "container id, ifname, netns path and link together", excess };
        let line = slot.line(at).map_err(too_long)?;
        self.put(at, line);
        Ok(())
    }

    /// Put a pool in its place.
    fn put_pool(&mut self, number: u32, pool: &Pool) {
        let at = self.layout().pool(number);
        // Four addresses and five numbers fit a line.
        let line = pool.line(at).unwrap_or_else(|_| Line::empty());
        self.put(at, line);
    }

    /// The pool with these ends, made if this is its first use.
    pub fn pool_at(&mut self, start: IpAddr, end: IpAddr) -> Result<(u32, Pool), Error> {
        if let Some(found) = pool_of(self, start, end)? {
            return Ok(found);
        }
        let most = self.layout().pools as usize;
        let number = self.new_pool().ok_or(Error::PoolsFull { pools: most + 1, most })?;
        let pool = Pool::new(start, end);
        self.put_pool(number, &pool);
        Ok((number, pool))
    }

    /// Record how far a pool was used.
    pub fn set_cursor(&mut self, number: u32, pool: &Pool, cursor: Option<IpAddr>) {
        self.put_pool(number, &Pool { cursor, ..*pool });
    }

    /// Record that the addresses of a pool up to this one were used.
    ///
    /// # Errors
    /// When the pool's line is damaged.
    pub fn move_cursor_past(&mut self, number: u32, address: IpAddr, next: Option<IpAddr>) -> Result<(), Error> {
        let pool = self.pool(number)?;
        if pool.cursor.is_some_and(|cursor| cursor <= address) {
            self.set_cursor(number, &pool, next);
        }
        Ok(())
    }

    fn set_head(&mut self, index: Index, bucket: Bucket, head: Option<u32>) -> Result<(), Error> {
        let line = self.line(bucket.line)?;
        self.put(bucket.line, index.with_head(&line, bucket, head));
        Ok(())
    }

    /// Give an address that was never used: a new slot, counted by the pool.
    pub fn give_new(&mut self, pool: u32, lease: Lease) -> Result<(), Error> {
        let (number, address_next) = self.add_slot(lease.address.ip())?;
        self.give(number, pool, address_next, lease)
    }

    /// Let an address that has no slot wait in a pool's queue, as if it had been released now.
    pub fn rest_new(&mut self, pool: u32, address: IpAddr, now: Stamp) -> Result<(), Error> {
        let (number, address_next) = self.add_slot(address)?;
        self.enqueue(number, pool, address_next, address, now)
    }

    /// A slot for an address, at the head of its chain; its line is yet to be put.
    fn add_slot(&mut self, address: IpAddr) -> Result<(u32, Option<u32>), Error> {
        let bucket = Index::Addresses.bucket(self.layout(), address_hash(address));
        let address_next = head(self, Index::Addresses, bucket)?;
        self.grow()?;
        let number = self.new_slot();
        self.set_head(Index::Addresses, bucket, Some(number))?;
        Ok((number, address_next))
    }

    /// Give an address that waits in its pool's queue. Returns the lease as it is recorded.
    pub fn give_again(&mut self, number: u32, slot: &Slot, lease: Lease) -> Result<Lease, Error> {
        self.dequeue(number, slot)?;
        let lease = Lease { since: lease.since.past(slot.since()), ..lease };
        self.give(number, slot.pool, slot.address_next, lease.clone())?;
        Ok(lease)
    }

    fn give(&mut self, number: u32, pool: u32, address_next: Option<u32>, lease: Lease) -> Result<(), Error> {
        let bucket = Index::Owners.bucket(self.layout(), owner_hash(&lease.owner));
        let owner_next = head(self, Index::Owners, bucket)?;
        self.put_slot(number, &Slot { pool, address_next, state: SlotState::Leased { lease, owner_next } })?;
        self.set_head(Index::Owners, bucket, Some(number))?;
        let counts = self.pool(pool)?;
        self.put_pool(pool, &Pool { leased: counts.leased.saturating_add(1), ..counts });
        Ok(())
    }

    /// Record another lease of an address for the owner that has it. Returns the lease as it is recorded.
    pub fn renew(&mut self, number: u32, slot: &Slot, lease: Lease) -> Result<Lease, Error> {
        let SlotState::Leased { owner_next, .. } = slot.state else {
            return Err(flaw(self, number, "a free slot cannot be renewed"));
        };
        let lease = Lease { since: lease.since.past(slot.since()), ..lease };
        let state = SlotState::Leased { lease: lease.clone(), owner_next };
        self.put_slot(number, &Slot { pool: slot.pool, address_next: slot.address_next, state })?;
        Ok(lease)
    }

    /// Take an address back: to the end of its pool's queue.
    pub fn take_back(&mut self, number: u32, slot: &Slot, now: Stamp) -> Result<(), Error> {
        let SlotState::Leased { lease, owner_next } = &slot.state else {
            return Err(flaw(self, number, "a free slot cannot be released"));
        };
        self.unchain(number, &lease.owner, *owner_next)?;
        let counts = self.pool(slot.pool)?;
        self.put_pool(slot.pool, &Pool { leased: counts.leased.saturating_sub(1), ..counts });
        // Not before the lease began, though the caller's clock was read earlier: a slot's moments only go forward.
        let since = if lease.since.boot == now.boot && lease.since.millis > now.millis { lease.since } else { now };
        self.enqueue(number, slot.pool, slot.address_next, lease.address.ip(), since)
    }

    /// Move a free slot to another pool's queue, keeping the moment of its release.
    pub fn move_to_pool(&mut self, number: u32, slot: &Slot, pool: u32) -> Result<(), Error> {
        let SlotState::Free { address, since, .. } = slot.state else {
            return Err(flaw(self, number, "a leased slot cannot be moved to another pool"));
        };
        self.dequeue(number, slot)?;
        self.enqueue(number, pool, slot.address_next, address, since)
    }

    fn unchain(&mut self, number: u32, owner: &Attachment, owner_next: Option<u32>) -> Result<(), Error> {
        let bucket = Index::Owners.bucket(self.layout(), owner_hash(owner));
        if head(self, Index::Owners, bucket)? == Some(number) {
            return self.set_head(Index::Owners, bucket, owner_next);
        }
        let mut before = None;
        walk(self, Index::Owners, owner_hash(owner), |at, slot| {
            let leads = matches!(slot.state, SlotState::Leased { owner_next: Some(next), .. } if next == number);
            if leads {
                before = Some((at, slot.clone()));
            }
            leads
        })?;
        match before {
            Some((at, Slot { pool, address_next, state: SlotState::Leased { lease, .. } })) => {
                self.put_slot(at, &Slot { pool, address_next, state: SlotState::Leased { lease, owner_next } })
            }
            _ => Err(flaw(self, number, "a lease is in no owner's chain")),
        }
    }

    fn enqueue(
        &mut self,
        number: u32,
        pool: u32,
        address_next: Option<u32>,
        address: IpAddr,
        since: Stamp,
    ) -> Result<(), Error> {
        let mut queue = self.pool(pool)?;
        let prev = queue.tail;
        self.put_slot(
            number,
            &Slot { pool, address_next, state: SlotState::Free { address, since, prev, next: None } },
        )?;
        match prev {
            Some(tail) => self.relink(tail, |_, next| *next = Some(number))?,
            None => queue.head = Some(number),
        }
        queue.tail = Some(number);
        queue.free = queue.free.saturating_add(1);
        self.put_pool(pool, &queue);
        Ok(())
    }

    fn dequeue(&mut self, number: u32, slot: &Slot) -> Result<(), Error> {
        let SlotState::Free { prev, next, .. } = slot.state else {
            return Err(flaw(self, number, "a leased slot is in no queue"));
        };
        let mut queue = self.pool(slot.pool)?;
        match prev {
            Some(prev) => self.relink(prev, |_, link| *link = next)?,
            None => queue.head = next,
        }
        match next {
            Some(next) => self.relink(next, |link, _| *link = prev)?,
            None => queue.tail = prev,
        }
        queue.free = queue.free.saturating_sub(1);
        self.put_pool(slot.pool, &queue);
        Ok(())
    }

    /// Change the links of a queued slot.
    fn relink(&mut self, number: u32, change: impl FnOnce(&mut Option<u32>, &mut Option<u32>)) -> Result<(), Error> {
        let mut slot = self.slot(number)?;
        match &mut slot.state {
            SlotState::Free { prev, next, .. } => change(prev, next),
            SlotState::Leased { .. } => return Err(flaw(self, number, "a leased slot is in a queue")),
        }
        self.put_slot(number, &slot)
    }
}

//! Doing what was planned, on a draft that is not the store yet. Owns the steps. Refuses to decide anything.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::plan::Plan;
use crate::error::Error;
use crate::lease::Lease;
use crate::now::Stamp;
use crate::range::{Range, after};
use crate::store::View;
use crate::store::disk::Disk;
use crate::store::ledger::slot_at;
use crate::store::pool::Pool;
use crate::store::transaction::Transaction;

/// Lines that one step changes at most: slot, two buckets, two pools, two neighbours in a queue.
const LINES_EACH: usize = 7;

/// Commits to a draft are worth nothing before it has been renamed, and it is synced as a whole before that.
struct Unsynced<'d, D>(&'d mut D);

impl<D: Disk> Disk for Unsynced<'_, D> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn would_write(&self, end: u64) -> io::Result<()> {
        self.0.would_write(end)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Step<'p> {
    Give(&'p Range, &'p Lease),
    Pass(&'p Range, IpAddr),
}

/// Put the planned leases into a draft, as many with each commit as fit.
pub(super) fn apply<D: Disk>(draft: &mut D, path: &Path, plan: &Plan, now: Stamp) -> Result<(), Error> {
    let mut draft = Unsynced(draft);
    let passed = plan.passed.iter();
    let passed = passed.flat_map(|passed| passed.addresses().map(|address| Step::Pass(&passed.range, address)));
    let mut steps = plan.new.iter().map(|(range, lease)| Step::Give(range, lease)).chain(passed).peekable();
    while steps.peek().is_some() {
        let mut transaction = Transaction::begin(&mut draft, path, now.boot)?;
        while transaction.room() >= LINES_EACH
            && let Some(step) = steps.next()
        {
            step.make(&mut transaction, now)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

impl Step<'_> {
    fn make<D: Disk>(&self, transaction: &mut Transaction<'_, D>, now: Stamp) -> Result<(), Error> {
        match self {
            Self::Give(range, lease) => match slot_at(transaction, lease.address.ip())? {
                Some((number, slot)) => transaction.give_again(number, &slot, Lease::clone(lease)).map(drop),
                None => {
                    let (pool, _) = transaction.pool_at(range.start(), range.end())?;
                    transaction.give_new(pool, Lease::clone(lease))
                }
            },
            Self::Pass(range, address) => {
                let (number, _) = transaction.pool_at(range.start(), range.end())?;
                if !range.reserves(*address) && slot_at(transaction, *address)?.is_none() {
                    transaction.rest_new(number, *address, now)?;
                }
                let pool = transaction.pool(number)?;
                if pool.cursor.is_some_and(|cursor| cursor <= *address) {
                    let cursor = after(*address).filter(|next| *next <= range.end());
                    transaction.put_pool(number, &Pool { cursor, ..pool });
                }
                Ok(())
            }
        }
    }
}

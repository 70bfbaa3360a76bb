//! What can be asked of one consistent state of a store.

use std::net::IpAddr;

use cni::Attachment;

use crate::disk::Disk;
use crate::error::Error;
use crate::ledger;
use crate::pool::Pool;
use crate::read::Snapshot;
use crate::slot::Slot;
use crate::transaction::Transaction;

/// A slot and its number.
pub type Numbered = (u32, Slot);

/// A consistent state of a store: a transaction's, with its own changes, or a reader's.
///
/// Each call fails with [`Error::Damaged`] on bytes that the store did not write, and with [`Error::Io`].
pub trait View {
    /// All leased slots of an owner.
    fn slots_of(&self, owner: &Attachment) -> Result<Vec<Numbered>, Error>;
    /// The slot of an address. An address that was never used has none.
    fn slot_at(&self, address: IpAddr) -> Result<Option<Numbered>, Error>;
    /// The slot with this number.
    fn slot(&self, number: u32) -> Result<Slot, Error>;
    /// The pool of the addresses from `start` to `end`, with its number.
    fn pool_of(&self, start: IpAddr, end: IpAddr) -> Result<Option<(u32, Pool)>, Error>;
    /// The free slot of a pool that was released the longest ago, of those that `pick` takes.
    fn oldest_free(&self, pool: &Pool, pick: impl FnMut(&Slot) -> bool) -> Result<Option<Numbered>, Error>;
}

macro_rules! view {
    ($type:ident) => {
        impl<D: Disk> View for $type<'_, D> {
            fn slots_of(&self, owner: &Attachment) -> Result<Vec<Numbered>, Error> {
                ledger::slots_of(self, owner)
            }

            fn slot_at(&self, address: IpAddr) -> Result<Option<Numbered>, Error> {
                ledger::slot_at(self, address)
            }

            fn slot(&self, number: u32) -> Result<Slot, Error> {
                crate::Lines::slot(self, number)
            }

            fn pool_of(&self, start: IpAddr, end: IpAddr) -> Result<Option<(u32, Pool)>, Error> {
                ledger::pool_of(self, start, end)
            }

            fn oldest_free(&self, pool: &Pool, pick: impl FnMut(&Slot) -> bool) -> Result<Option<Numbered>, Error> {
                ledger::oldest_free(self, pool, pick)
            }
        }
    };
}

view!(Snapshot);
view!(Transaction);

//! The lease store: for each network one file of 512-byte text lines and a lock beside it, in a directory of the network's
//! own (`FORMAT.md`). It is whole after a crash at any instruction.
//!
//! Five calls use it: [`read`] looks without the lock and [`each_slot`] at every slot; [`Locked::open`] takes the lock, whose
//! [`Locked::change`] makes one commit and [`Locked::rewrite`] many, whole or not at all; [`Claim`] keeps a second ADD of an
//! attachment off. Which address is given, and whose lease is taken back, is decided by the caller.

#![forbid(unsafe_code)]

mod audit;
mod claim;
mod directory;
mod disk;
mod dry_run;
mod error;
mod head;
mod index;
mod layout;
mod lease;
mod ledger;
mod line;
mod lock;
mod locked;
mod now;
mod pool;
mod read;
mod rebuild;
mod redo;
mod slot;
mod transaction;
mod view;

#[cfg(any(test, feature = "testing"))]
mod golden;
#[cfg(any(test, feature = "testing"))]
mod memory;

pub use audit::{Audit, audit};
pub use claim::Claim;
pub use directory::Directory;
pub use disk::{Disk, StoreDir};
pub use dry_run::DryRun;
pub use error::Error;
pub use lease::{Lease, Proof};
pub use lock::Lock;
pub use locked::{Locked, Room, network_of};
pub use now::{BootId, Stamp};
pub use pool::Pool;
pub use read::{Snapshot, each_slot, look_once, read};
pub use rebuild::Draft;
pub use slot::{Slot, SlotState, fits};
pub use transaction::Transaction;
pub use view::{Numbered, View};

/// For tests of what uses a store.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    pub use crate::golden::{KILLED, SETTLED, store};
    pub use crate::memory::{Fault, Memory};

    /// Bytes of a line.
    pub const LINE: usize = crate::line::SIZE;
    /// The first lines of the two redo records.
    pub const REDO: [u32; 2] = crate::layout::REDO;

    /// The superblock of a store of another version, with one more word.
    #[must_use]
    pub fn superblock_of(version: u32) -> Vec<u8> {
        let mut line = crate::line::Writer::new("podlan-ipam");
        line.word("version", version).word("anything", "else");
        line.finish(0).map(|line| line.bytes().to_vec()).unwrap_or_default()
    }
}

use std::path::Path;

use self::layout::Layout;
use self::line::Line;
use self::redo::State;

/// What is wrong with a line. The store adds which line of which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corruption(pub(crate) &'static str);

impl Corruption {
    fn at(self, path: &Path, line: u64) -> Error {
        Error::Damaged { path: path.to_path_buf(), line: line + 1, what: self.0 }
    }
}

/// The lines of one consistent state of a store: a transaction's, with its own changes, or a reader's.
pub(crate) trait Lines {
    /// The sizes.
    fn layout(&self) -> &Layout;
    /// The counts.
    fn state(&self) -> &State;
    /// The store's path.
    fn path(&self) -> &Path;
    /// One line.
    fn line(&self, number: u32) -> Result<Line, Error>;

    /// The line of a pool.
    fn pool(&self, pool: u32) -> Result<Pool, Error> {
        let at = self.layout().pool(pool);
        Pool::read(&self.line(at)?).map_err(|corruption| corruption.at(self.path(), at.into()))
    }

    /// The line of a slot.
    fn slot(&self, slot: u32) -> Result<Slot, Error> {
        let at = self.layout().slot(slot);
        if slot >= self.state().slots {
            return Err(Corruption("a link leads past the last slot").at(self.path(), at.into()));
        }
        Slot::read(&self.line(at)?).map_err(|corruption| corruption.at(self.path(), at.into()))
    }
}

//! The file-locked store: one file of 512-byte text lines for each network, see FORMAT.md.
//! Owns the bytes on disk and their consistency. Refuses to decide (allocate) and to judge who is alive (operation).

pub(crate) mod audit;
pub(crate) mod disk;
pub(crate) mod head;
mod index;
pub(crate) mod layout;
pub(crate) mod ledger;
pub(crate) mod line;
pub(crate) mod lock;
pub(crate) mod pool;
pub(crate) mod read;
pub(crate) mod rebuild;
mod redo;
pub(crate) mod rehearsal;
pub(crate) mod slot;
pub(crate) mod transaction;

#[cfg(test)]
pub(crate) mod double;
#[cfg(test)]
pub(crate) mod golden;

use std::path::Path;

pub(crate) use self::index::owner_hash;
use self::layout::Layout;
use self::line::Line;
use self::pool::Pool;
use self::redo::State;
use self::slot::Slot;
use crate::error::Error;

/// What is wrong with a line; the store adds which line of which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw(pub(crate) &'static str);

impl Flaw {
    fn at(self, path: &Path, line: u64) -> Error {
        Error::Damaged { path: path.to_path_buf(), line: line + 1, what: self.0 }
    }
}

/// A consistent view of a store: a transaction's, with its own changes, or a reader's.
pub(crate) trait View {
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
        Pool::read(&self.line(at)?).map_err(|flaw| flaw.at(self.path(), at.into()))
    }

    /// The line of a slot.
    fn slot(&self, slot: u32) -> Result<Slot, Error> {
        let at = self.layout().slot(slot);
        if slot >= self.state().slots {
            return Err(Flaw("a link leads past the last slot").at(self.path(), at.into()));
        }
        Slot::read(&self.line(at)?).map_err(|flaw| flaw.at(self.path(), at.into()))
    }
}

/// The network's name as the superblock has it.
pub(crate) fn head_network<D: disk::Disk>(disk: &D, path: &Path) -> Result<String, Error> {
    let line = transaction::read_line(disk, path, layout::SUPER)?;
    match Layout::read(&line).map_err(|flaw| flaw.at(path, 0))? {
        layout::Superblock::Known(_, network) => Ok(network.to_owned()),
        layout::Superblock::Newer(version) => {
            Err(Error::NewerFormat { path: path.to_path_buf(), version, newest: layout::VERSION })
        }
    }
}

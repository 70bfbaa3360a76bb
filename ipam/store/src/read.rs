//! Reading without the lock: what the newest commit says, checked afterwards to be still the newest.
//! Never writes, so it works on a read-only file system and while another process holds the lock.

use std::path::Path;

use crate::disk::{Disk, StoreDir};
use crate::error::Error;
use crate::head::{Head, offset};
use crate::layout::Layout;
use crate::line::{Line, SIZE};
use crate::now::BootId;
use crate::redo::State;
use crate::slot::Slot;
use crate::transaction::read_line;
use crate::{Corruption, Lines};

/// Reads that a writer may spoil before the reader gives up.
const TRIES: usize = 1000;
/// Reads in a row that must fail the same way before the failure is believed.
const SAME_REFUSALS: usize = 5;
/// Slots that are read at once by a listing.
const CHUNK: u32 = 256;

/// A view that is consistent as long as no commit follows.
pub struct Snapshot<'d, D> {
    disk: &'d D,
    path: &'d Path,
    head: Head,
}

impl<'d, D: Disk> Snapshot<'d, D> {
    fn take(disk: &'d D, path: &'d Path) -> Result<Self, Error> {
        // Whether the lines are in their places does not matter here: the records are read over them anyway.
        Ok(Self { disk, path, head: Head::read(disk, path, BootId(0))? })
    }

    /// The number of the commit that it shows.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.head.seq
    }

    fn still_newest(&self) -> Result<bool, Error> {
        Ok(Head::read(self.disk, self.path, BootId(0))?.seq == self.head.seq)
    }

    fn slots(&self, first: u32, count: u32) -> Result<Vec<Slot>, Error> {
        let at = self.head.layout.slot(first);
        let mut bytes = vec![0; count as usize * SIZE];
        let got = self.disk.read_at(&mut bytes, offset(at)).map_err(Error::io("read", self.path))?;
        bytes.truncate(got);
        let slot = |number: u32| {
            let from = (number - at) as usize * SIZE;
            let line = match self.head.overlaid(number) {
                Some(line) => Ok(*line),
                None => Line::checked(bytes.get(from..from + SIZE).unwrap_or_default(), number),
            };
            line.and_then(|line| Slot::read(&line))
                .map_err(|corruption: Corruption| corruption.at(self.path, number.into()))
        };
        (at..at + count).map(slot).collect()
    }
}

impl<D: Disk> Lines for Snapshot<'_, D> {
    fn layout(&self) -> &Layout {
        &self.head.layout
    }

    fn state(&self) -> &State {
        &self.head.state
    }

    fn path(&self) -> &Path {
        self.path
    }

    fn line(&self, number: u32) -> Result<Line, Error> {
        match self.head.overlaid(number) {
            Some(line) => Ok(*line),
            None => read_line(self.disk, self.path, number),
        }
    }
}

/// Read something of a store. `None` when there is no store.
///
/// # Errors
/// When the store cannot be read or is damaged, `look` fails, or writers change the store again and again.
pub fn read<S: StoreDir, T>(
    dir: &S,
    mut look: impl FnMut(&Snapshot<'_, S::Disk>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let Some(disk) = dir.open().map_err(Error::io("open", dir.path()))? else { return Ok(None) };
    steady(&disk, dir.path(), &mut look).map(Some)
}

/// Look at a store once, without asking afterwards whether a commit followed. What is found in a single line was so at some
/// moment since the call began; that something is missing, or an error, means nothing. `None` when there is no store.
///
/// # Errors
/// Those of `look`, and of reading the store.
pub fn look_once<S: StoreDir, T>(
    dir: &S,
    look: impl FnOnce(&Snapshot<'_, S::Disk>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let Some(disk) = dir.open().map_err(Error::io("open", dir.path()))? else { return Ok(None) };
    look(&Snapshot::take(&disk, dir.path())?).map(Some)
}

fn steady<'d, D: Disk, T>(
    disk: &'d D,
    path: &'d Path,
    look: &mut impl FnMut(&Snapshot<'d, D>) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut refused = (String::new(), 0);
    for _ in 0..TRIES {
        let looked = Snapshot::take(disk, path).and_then(|snapshot| {
            let found = look(&snapshot);
            Ok(snapshot.still_newest()?.then_some(found))
        });
        match looked {
            Ok(Some(found)) => return found,
            Ok(None) => refused.1 = 0,
            // The head itself can be caught half written; the same again and again is no accident.
            Err(error) => {
                let text = error.to_string();
                refused.1 = if refused.0 == text { refused.1 + 1 } else { 1 };
                if refused.1 == SAME_REFUSALS {
                    return Err(error);
                }
                refused.0 = text;
            }
        }
    }
    Err(Error::Unsteady { path: path.to_path_buf() })
}

/// Visit every slot, some hundred at a time, each group from one consistent state. Stops when `visit` returns false.
/// A slot that is damaged is given as its error, and the rest goes on.
pub fn each_slot<S: StoreDir>(dir: &S, mut visit: impl FnMut(Result<Slot, Error>) -> bool) -> Result<(), Error> {
    let Some(disk) = dir.open().map_err(Error::io("open", dir.path()))? else { return Ok(()) };
    let mut first = 0;
    loop {
        let mut look = |snapshot: &Snapshot<'_, S::Disk>| {
            let count = snapshot.head.state.slots.saturating_sub(first).min(CHUNK);
            match snapshot.slots(first, count) {
                Ok(slots) => Ok(slots.into_iter().map(Ok).collect()),
                // One by one, so that only the damaged ones are missing.
                Err(Error::Damaged { .. }) => Ok((first..first + count).map(|slot| snapshot.slot(slot)).collect()),
                Err(error) => Err(error),
            }
        };
        let slots: Vec<Result<Slot, Error>> = steady(&disk, dir.path(), &mut look)?;
        if slots.is_empty() {
            return Ok(());
        }
        for slot in slots {
            first += 1;
            if !visit(slot) {
                return Ok(());
            }
        }
    }
}

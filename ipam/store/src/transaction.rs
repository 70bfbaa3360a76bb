//! One change of a store: read through to what is already changed, then committed whole or not at all.
//! The order of its writes makes a kill at any instruction safe (FORMAT.md, "Commit"). The caller holds the lock.

use std::cell::RefCell;
use std::path::Path;

use crate::disk::Disk;
use crate::error::Error;
use crate::head::{Head, find, mark, offset};
use crate::layout::{COMMIT_MOST, Layout, MARK, REDO, SLOTS_MOST};
use crate::line::{Line, SIZE, blank};
use crate::now::BootId;
use crate::redo::{State, encode};
use crate::{Corruption, Lines};

/// Lines that taking back one lease changes at most: slot, pool, owner's chain, end of the queue.
const LINES_TO_TAKE_BACK: usize = 4;
/// Lines that a file grows by at once.
const GROWTH: u32 = 32;

/// Changes that are not committed yet. Dropped, they never were.
pub struct Transaction<'d, D> {
    disk: &'d mut D,
    path: &'d Path,
    boot: BootId,
    head: Head,
    state: State,
    changed: Vec<(u32, Line)>,
    /// The first lines that were read: a line of an index is read again and again. No other process writes while the lock is held.
    read: RefCell<Vec<(u32, Line)>>,
}

impl<'d, D: Disk> Transaction<'d, D> {
    /// Begin on an open store, whose lock is held.
    pub(crate) fn begin(disk: &'d mut D, path: &'d Path, boot: BootId) -> Result<Self, Error> {
        let head = Head::read(disk, path, boot)?;
        let state = head.state;
        Ok(Self { disk, path, boot, head, state, changed: Vec::with_capacity(NEAR_CHANGES), read: RefCell::default() })
    }

    /// The file, to be read.
    pub(crate) fn disk(&self) -> &D {
        self.disk
    }

    /// Set a line.
    pub(crate) fn put(&mut self, number: u32, line: Line) {
        match self.changed.iter_mut().find(|(at, _)| *at == number) {
            Some((_, there)) => *there = line,
            None => self.changed.push((number, line)),
        }
    }

    /// Whether one more lease can be taken back with this commit.
    #[must_use]
    pub fn can_take_back(&self) -> bool {
        self.room() >= LINES_TO_TAKE_BACK
    }

    /// Whether every lease of an earlier boot was judged.
    #[must_use]
    pub fn is_swept(&self) -> bool {
        self.state.swept == self.boot
    }

    /// How many more lines this commit can change.
    pub(crate) fn room(&self) -> usize {
        COMMIT_MOST.saturating_sub(self.changed.len())
    }

    /// Is there anything to commit?
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.state == self.head.state
    }

    /// Say that every lease of an earlier boot was judged.
    pub fn set_swept(&mut self) {
        self.state.swept = self.boot;
    }

    /// Add a pool; its line is yet to be put. `None` when the table is full.
    pub(crate) fn new_pool(&mut self) -> Option<u32> {
        let pool = self.state.pools;
        (pool < self.head.layout.pools).then(|| {
            self.state.pools += 1;
            pool
        })
    }

    /// Make sure that the file has a line for one more slot, so that a commit never needs space.
    ///
    /// # Errors
    /// When the file cannot grow.
    pub fn grow(&mut self) -> Result<(), Error> {
        let slot = self.state.slots;
        if slot >= SLOTS_MOST {
            return Err(Error::io("grow", self.path)(std::io::ErrorKind::StorageFull.into()));
        }
        let line = self.head.layout.slot(slot);
        let whole = u32::try_from(self.head.length / SIZE as u64).unwrap_or(u32::MAX);
        if line >= whole {
            let bytes: Vec<u8> = (whole..line + GROWTH).flat_map(|number| *blank(number).bytes()).collect();
            self.disk.write_at(&bytes, offset(whole)).map_err(Error::io("grow", self.path))?;
            self.head.length = offset(line + GROWTH);
        }
        Ok(())
    }

    /// Add a slot, after [`Self::grow`]; its line is yet to be put.
    pub(crate) fn new_slot(&mut self) -> u32 {
        let slot = self.state.slots;
        self.state.slots += 1;
        slot
    }

    /// Make the changes last.
    ///
    /// # Errors
    /// When they could not be written. Nothing was changed then, as far as the disk still lets the store say so.
    pub fn commit(mut self) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        if self.changed.len() > COMMIT_MOST {
            return Err(Corruption("a commit is larger than its record").at(self.path, REDO[0].into()));
        }
        self.settle()?;
        let (seq, at) = (self.head.seq + 1, REDO[1 - self.head.side]);
        let record = encode(at, seq, self.boot, self.state, &self.changed);
        let written = self.disk.write_at(&record, offset(at)).map_err(Error::io("write", self.path));
        let synced = written.and_then(|()| self.disk.sync().map_err(Error::io("sync", self.path)));
        if let Err(error) = synced {
            // Not promised, so take it back: without its header the record is nothing.
            let _ = self.disk.write_at(blank(at).bytes(), offset(at));
            return Err(error);
        }
        // Committed. What fails from here on is done by the next one that opens the store.
        let changed = std::mem::take(&mut self.changed);
        if self.write_lines(&changed).is_ok() {
            let _ = self.disk.write_at(mark(seq).bytes(), offset(MARK));
        }
        Ok(())
    }

    /// Finish what a killed process, or an earlier boot, left half done. The record that is overwritten next may be
    /// the only place where these lines are, so they must be on the medium before.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        if !self.head.settled {
            let overlay = std::mem::take(&mut self.head.overlay);
            let written = self.write_lines(&overlay);
            self.head.overlay = overlay;
            written.map_err(Error::io("write", self.path))?;
            self.disk.sync().map_err(Error::io("sync", self.path))?;
            self.head.settled = true;
        }
        Ok(())
    }

    fn write_lines(&mut self, lines: &[(u32, Line)]) -> std::io::Result<()> {
        lines.iter().try_for_each(|(number, line)| self.disk.write_at(line.bytes(), offset(*number)))
    }
}

/// Lines that a commit of one or two addresses changes.
const NEAR_CHANGES: usize = 12;

impl<D: Disk> Lines for Transaction<'_, D> {
    fn layout(&self) -> &Layout {
        &self.head.layout
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn path(&self) -> &Path {
        self.path
    }

    fn line(&self, number: u32) -> Result<Line, Error> {
        if let Some(line) = find(&self.changed, number).or_else(|| self.head.overlaid(number)) {
            return Ok(*line);
        }
        let mut read = self.read.borrow_mut();
        if let Some(line) = find(&read, number) {
            return Ok(*line);
        }
        let line = read_line(self.disk, self.path, number)?;
        if read.len() < NEAR_CHANGES {
            read.push((number, line));
        }
        Ok(line)
    }
}

/// One line from its place in the file.
pub(crate) fn read_line<D: Disk>(disk: &D, path: &Path, number: u32) -> Result<Line, Error> {
    let mut bytes = [0; SIZE];
    let got = disk.read_at(&mut bytes, offset(number)).map_err(Error::io("read", path))?;
    Line::checked(&bytes[..got], number).map_err(|corruption| corruption.at(path, number.into()))
}

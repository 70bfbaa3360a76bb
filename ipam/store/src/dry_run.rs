//! A store for a dry run: what is written goes to memory, over the store as it is on disk. Takes no lock and changes nothing;
//! what the kernel would refuse for want of permission or space is refused here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::disk::{Disk, StoreDir};
use crate::error::Error;
use crate::line::SIZE;

/// A longer store is not rewritten in memory only because its chains have grown long: ADD does without it, too, when the
/// disk is full.
const GROWN_MOST: u64 = 64 << 20;

/// A network's directory, as if it were one's own.
pub struct DryRun<'s, S: StoreDir> {
    dir: &'s S,
    /// What stands in the store's place by now.
    store: RefCell<Option<Copy<S>>>,
}

/// An open store and what was written over it, in pieces of a line.
pub struct Copy<S: StoreDir>(Rc<RefCell<Content<S>>>);

struct Content<S: StoreDir> {
    disk: Option<S::Disk>,
    written: BTreeMap<u64, [u8; SIZE]>,
    length: u64,
}

impl<'s, S: StoreDir> DryRun<'s, S> {
    /// Of the store as it is. Nothing is looked at yet.
    #[must_use]
    pub fn new(dir: &'s S) -> Self {
        Self { dir, store: RefCell::new(None) }
    }
}

impl<S: StoreDir> Copy<S> {
    fn of(disk: Option<S::Disk>) -> io::Result<Self> {
        let length = disk.as_ref().map_or(Ok(0), Disk::length)?;
        Ok(Self(Rc::new(RefCell::new(Content { disk, written: BTreeMap::new(), length }))))
    }

    fn again(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S: StoreDir> Content<S> {
    fn piece(&self, number: u64) -> io::Result<[u8; SIZE]> {
        if let Some(piece) = self.written.get(&number) {
            return Ok(*piece);
        }
        let mut piece = [0; SIZE];
        if let Some(disk) = &self.disk {
            disk.read_at(&mut piece, number * SIZE as u64)?;
        }
        Ok(piece)
    }

    /// From `offset` on, within one piece: its number, where in it, and how many bytes of `left`.
    fn within(offset: u64, left: usize) -> (u64, usize, usize) {
        let at = usize::try_from(offset % SIZE as u64).unwrap_or_default();
        (offset / SIZE as u64, at, left.min(SIZE - at))
    }
}

impl<S: StoreDir> Disk for Copy<S> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.borrow().length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.borrow();
        let there = usize::try_from(content.length.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..there];
        // All at once, then what was written over it.
        let got = content.disk.as_ref().map_or(Ok(0), |disk| disk.read_at(buffer, offset))?;
        buffer[got..].fill(0);
        let end = offset + there as u64;
        for (number, piece) in content.written.range(offset / SIZE as u64..end.div_ceil(SIZE as u64)) {
            let first = (number * SIZE as u64).max(offset);
            let last = ((number + 1) * SIZE as u64).min(end);
            let index = |at: u64, base: u64| usize::try_from(at - base).unwrap_or_default();
            let from = index(first, number * SIZE as u64)..index(last, number * SIZE as u64);
            buffer[index(first, offset)..index(last, offset)].copy_from_slice(&piece[from]);
        }
        Ok(there)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.0.borrow_mut();
        let end = offset + bytes.len() as u64;
        if let Some(disk) = &content.disk {
            disk.would_write(end)?;
        }
        let mut done = 0;
        while done < bytes.len() {
            let (number, at, count) = Content::<S>::within(offset + done as u64, bytes.len() - done);
            let mut piece = content.piece(number)?;
            piece[at..at + count].copy_from_slice(&bytes[done..done + count]);
            content.written.insert(number, piece);
            done += count;
        }
        content.length = content.length.max(end);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn would_write(&self, _end: u64) -> io::Result<()> {
        Ok(())
    }
}

impl<S: StoreDir> StoreDir for DryRun<'_, S> {
    type Disk = Copy<S>;
    type Guard = ();

    fn lock(&self) -> Result<(), Error> {
        Ok(())
    }

    fn open(&self) -> io::Result<Option<Copy<S>>> {
        let mut store = self.store.borrow_mut();
        if store.is_none() {
            *store = self.dir.open()?.map(|disk| Copy::of(Some(disk))).transpose()?;
        }
        Ok(store.as_ref().map(Copy::again))
    }

    fn prepare(&self) -> Result<(), Error> {
        self.dir.probe()
    }

    fn probe(&self) -> Result<(), Error> {
        self.dir.probe()
    }

    fn draft(&self) -> io::Result<Copy<S>> {
        self.dir.would_draft()?;
        Copy::of(None)
    }

    fn would_draft(&self) -> io::Result<()> {
        self.dir.would_draft()
    }

    fn publish(&self, draft: Copy<S>) -> io::Result<Copy<S>> {
        *self.store.borrow_mut() = Some(draft.again());
        Ok(draft)
    }

    fn discard(&self) {}

    fn may_grow(&self, length: u64) -> bool {
        length <= GROWN_MOST
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn what_is_written_is_read_back_and_the_store_stays_as_it_was() {
        let bytes: Vec<u8> = (0..3 * SIZE).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let memory = Memory::with_store(bytes.clone());
        let dry_run = DryRun::new(&memory);
        let mut copy = dry_run.open().unwrap().unwrap();
        let mut expected = bytes.clone();
        for (offset, length) in [(0, 10), (500, 40), (SIZE, SIZE), (3 * SIZE - 5, 20), (4 * SIZE, 3 * SIZE)] {
            let written = vec![0xee; length];
            copy.write_at(&written, offset as u64).unwrap();
            expected.resize(expected.len().max(offset + length), 0);
            expected[offset..offset + length].copy_from_slice(&written);
        }
        let again = dry_run.open().unwrap().unwrap();
        assert_eq!(again.length().unwrap(), expected.len() as u64);
        for (offset, length) in [(0, expected.len()), (3, 900), (510, 4), (2 * SIZE, 9000)] {
            let mut buffer = vec![1; length];
            let got = again.read_at(&mut buffer, offset as u64).unwrap();
            assert_eq!(&buffer[..got], &expected[offset..(offset + length).min(expected.len())]);
        }
        assert_eq!(memory.bytes().unwrap(), bytes);
    }
}

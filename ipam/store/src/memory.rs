//! A directory in memory that counts its operations, and fails, stops or loses power at a chosen one.
#![expect(clippy::unwrap_used, reason = "only tests use this")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::disk::{Disk, StoreDir};
use crate::error::Error;

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, once.
    Refuse(io::ErrorKind),
    /// It is refused, and so is every later write or sync.
    RefuseOn(io::ErrorKind),
    /// The process is killed: a write has put so many of its bytes in place (in 512ths), and nothing follows.
    Kill(usize),
}

/// Bytes as the page cache has them, and as the medium has them.
#[derive(Debug, Clone, Default)]
struct Content {
    cache: Vec<u8>,
    medium: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone, Default)]
struct Inner {
    files: Vec<Content>,
    store: Option<usize>,
    draft: Option<usize>,
    /// The store before a rename that is not on the medium yet.
    before: Option<Option<usize>>,
    operations: usize,
    fault: Option<(usize, Fault)>,
    stopped: bool,
    refusing: Option<io::ErrorKind>,
    /// No file may grow.
    full: bool,
}

/// Granularity of what a power loss tears.
const SECTOR: usize = 64;

/// The directory.
#[derive(Debug, Clone, Default)]
pub struct Memory(Rc<RefCell<Inner>>);

/// An open file of it.
#[derive(Debug)]
pub struct Handle(Rc<RefCell<Inner>>, usize);

impl Memory {
    /// A directory whose store has these bytes.
    pub fn with_store(bytes: Vec<u8>) -> Self {
        let content = Content { cache: bytes.clone(), medium: bytes, dirty: BTreeSet::new() };
        Self(Rc::new(RefCell::new(Inner { files: vec![content], store: Some(0), ..Inner::default() })))
    }

    /// The same content, apart from this one.
    pub fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// Let the operation with this number (from 1) meet a fault.
    pub fn plan(&self, operation: usize, fault: Fault) {
        let mut inner = self.0.borrow_mut();
        inner.operations = 0;
        inner.fault = Some((operation, fault));
    }

    /// The file system is full from now on: no file grows, none is made.
    pub fn limit(&self) {
        self.0.borrow_mut().full = true;
    }

    /// Did the planned fault happen?
    pub fn was_hit(&self) -> bool {
        let inner = self.0.borrow();
        inner.fault.is_some_and(|(at, _)| inner.operations >= at)
    }

    /// A new process: faults are over, the page cache lives.
    pub fn restart(&self) {
        let mut inner = self.0.borrow_mut();
        (inner.fault, inner.stopped, inner.refusing) = (None, false, None);
        inner.operations = 0;
    }

    /// A power loss: of all that was not synced, each sector is kept or lost as `keeps` says of its offset. The end of
    /// files and names of directories are kept or lost as it says of `usize::MAX`.
    pub fn lose_power(&self, keeps: impl Fn(usize) -> bool) {
        self.restart();
        let mut inner = self.0.borrow_mut();
        for content in &mut inner.files {
            let dirty = std::mem::take(&mut content.dirty);
            if content.medium.len() < content.cache.len() && (dirty.is_empty() || keeps(usize::MAX)) {
                content.medium.resize(content.cache.len(), 0);
            }
            for sector in dirty {
                let range = sector * SECTOR..((sector + 1) * SECTOR).min(content.medium.len());
                if range.start < range.end && keeps(range.start) {
                    content.medium[range.clone()].copy_from_slice(&content.cache[range]);
                }
            }
            content.cache = content.medium.clone();
        }
        if let Some(before) = inner.before.take()
            && !keeps(usize::MAX)
        {
            inner.store = before;
        }
        inner.draft = None;
    }

    /// Bytes of the store as a process sees them.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let inner = self.0.borrow();
        inner.store.map(|file| inner.files[file].cache.clone())
    }
}

impl Inner {
    /// Count an operation; how much of a write happens before the fault, if there is one.
    fn step(&mut self, writes: bool) -> Result<Option<Fault>, io::Error> {
        self.operations += 1;
        if self.stopped {
            return Err(io::Error::other("killed"));
        }
        if let Some(kind) = self.refusing.filter(|_| writes) {
            return Err(kind.into());
        }
        match self.fault {
            Some((at, fault)) if at == self.operations => match fault {
                Fault::Refuse(kind) => Err(kind.into()),
                Fault::RefuseOn(kind) => {
                    self.refusing = Some(kind);
                    Err(kind.into())
                }
                Fault::Kill(_) => {
                    self.stopped = true;
                    Ok(Some(fault))
                }
            },
            _ => Ok(None),
        }
    }

    fn plain(&mut self, writes: bool) -> io::Result<()> {
        match self.step(writes)? {
            Some(_) => Err(io::Error::other("killed")),
            None => Ok(()),
        }
    }
}

impl Disk for Handle {
    fn length(&self) -> io::Result<u64> {
        let mut inner = self.0.borrow_mut();
        inner.plain(false)?;
        Ok(inner.files[self.1].cache.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.0.borrow_mut();
        inner.plain(false)?;
        let cache = &inner.files[self.1].cache;
        let from = usize::try_from(offset).unwrap().min(cache.len());
        let count = buffer.len().min(cache.len() - from);
        buffer[..count].copy_from_slice(&cache[from..from + count]);
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        let fault = inner.step(true)?;
        let done = match fault {
            Some(Fault::Kill(part)) => bytes.len() * part / 512,
            _ => bytes.len(),
        };
        let full = inner.full;
        let content = &mut inner.files[self.1];
        let from = usize::try_from(offset).unwrap();
        if full && from + bytes.len() > content.cache.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let end = from + done;
        if done > 0 {
            let length = content.cache.len().max(end);
            content.cache.resize(length, 0);
            content.cache[from..end].copy_from_slice(&bytes[..done]);
            content.dirty.extend(from / SECTOR..end.div_ceil(SECTOR));
        }
        if fault.is_some() { Err(io::Error::other("killed")) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        inner.plain(true)?;
        let content = &mut inner.files[self.1];
        content.medium = content.cache.clone();
        content.dirty.clear();
        Ok(())
    }

    fn would_write(&self, end: u64) -> io::Result<()> {
        let inner = self.0.borrow();
        let grows = end > inner.files[self.1].cache.len() as u64;
        if inner.full && grows { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StoreDir for Memory {
    type Disk = Handle;
    type Guard = ();

    fn lock(&self) -> Result<(), Error> {
        let path = Path::new("memory/lock");
        self.0.borrow_mut().plain(false).map_err(Error::io("lock", path))
    }

    fn open(&self) -> io::Result<Option<Handle>> {
        let mut inner = self.0.borrow_mut();
        inner.plain(false)?;
        Ok(inner.store.map(|file| Handle(Rc::clone(&self.0), file)))
    }

    fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }

    fn draft(&self) -> io::Result<Handle> {
        let mut inner = self.0.borrow_mut();
        inner.plain(true)?;
        inner.files.push(Content::default());
        let file = inner.files.len() - 1;
        inner.draft = Some(file);
        Ok(Handle(Rc::clone(&self.0), file))
    }

    fn publish(&self, mut draft: Handle) -> io::Result<Handle> {
        draft.sync()?;
        {
            let mut inner = self.0.borrow_mut();
            inner.plain(true)?;
            inner.before = Some(inner.store);
            inner.store = Some(draft.1);
            inner.draft = None;
        }
        let mut inner = self.0.borrow_mut();
        inner.plain(true)?;
        inner.before = None;
        drop(inner);
        Ok(draft)
    }

    fn discard(&self) {
        self.0.borrow_mut().draft = None;
    }

    fn probe(&self) -> Result<(), Error> {
        Ok(())
    }

    fn would_draft(&self) -> io::Result<()> {
        if self.0.borrow().full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn path(&self) -> &Path {
        Path::new("memory/store")
    }
}

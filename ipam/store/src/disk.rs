//! The seam to the disk: the operations on a store's file and on the directory it lies in. Tests implement both in memory,
//! with operations that fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{OFlags, StatVfs};

use crate::error::Error;

/// No symlink is followed, no fifo waited for.
pub(crate) const NOFOLLOW: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open store.
pub trait Disk {
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fill the buffer from an offset; fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Write all bytes at an offset, growing the file when they lie past its end.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// All that was written before is on the medium when this returns.
    fn sync(&mut self) -> io::Result<()>;
    /// Whether a write that ends there would be refused, as far as that is known without writing.
    fn would_write(&self, end: u64) -> io::Result<()>;
}

/// The place where one network keeps its lock and its store.
pub trait StoreDir {
    /// An open store.
    type Disk: Disk;
    /// What holds the lock until it is dropped.
    type Guard;

    /// Wait for the exclusive lock, up to the deadline.
    fn lock(&self) -> Result<Self::Guard, Error>;
    /// The store, if there is one.
    fn open(&self) -> io::Result<Option<Self::Disk>>;
    /// Make the directory (and what lies above it).
    fn prepare(&self) -> Result<(), Error>;
    /// An empty file that is not the store yet.
    fn draft(&self) -> io::Result<Self::Disk>;
    /// Put a draft, synced, in the store's place. A crash leaves the one or the other, whole.
    fn publish(&self, draft: Self::Disk) -> io::Result<Self::Disk>;
    /// Throw a draft away.
    fn discard(&self);
    /// Whether the directory could be made and the lock be taken, as far as that is known without doing it.
    fn probe(&self) -> Result<(), Error>;
    /// Whether a draft would be refused, as far as that is known without making one.
    fn would_draft(&self) -> io::Result<()>;
    /// Whether a store of this length, bytes, may be rewritten only because its chains have grown long.
    fn may_grow(&self, _length: u64) -> bool {
        true
    }
    /// The store's path, for messages.
    fn path(&self) -> &Path;
}

impl Disk for File {
    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // The file may have been opened for reading only, see `Directory::open`.
        let refused = |error: io::Error| match error.raw_os_error() {
            Some(code) if code == Errno::EBADF as i32 => Errno::EROFS.into(),
            _ => error,
        };
        self.write_all_at(bytes, offset).map_err(refused)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn would_write(&self, end: u64) -> io::Result<()> {
        // Opened for reading only, because more was not to be had.
        if !rustix::fs::fcntl_getfl(self)?.contains(OFlags::RDWR) {
            return Err(Errno::EROFS.into());
        }
        let grown = end.saturating_sub(Disk::length(self)?);
        if grown == 0 { Ok(()) } else { has_room(&rustix::fs::fstatvfs(self)?, grown, 0) }
    }
}

/// A file system that does not say how much it has is taken to have it. What is kept for root counts: we are root.
pub(crate) fn has_room(of: &StatVfs, bytes: u64, files: u64) -> io::Result<()> {
    let free = of.f_bfree.saturating_mul(of.f_frsize);
    let full = of.f_blocks > 0 && free < bytes || of.f_files > 0 && of.f_ffree < files;
    if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

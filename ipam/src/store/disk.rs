//! The seam to the disk: what the store asks of a file and of the directory it lies in.
//! Owns the system calls. Refuses to know what the bytes mean; tests put doubles here that fail at a chosen call.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use rustix::fs::{Mode, OFlags, StatVfs};

use super::lock::Lock;
use crate::error::Error;

/// No symlink is followed, no fifo waited for.
pub(crate) const NOFOLLOW: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open store.
pub(crate) trait Disk {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
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
pub(crate) trait Shelf {
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
    /// Whether a store of this length, bytes, may be written anew only because its chains have grown long.
    fn may_grow(&self, _length: u64) -> bool {
        true
    }
    /// The store's path, for messages.
    fn path(&self) -> &Path;
}

impl Disk for File {
    fn len(&self) -> io::Result<u64> {
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
        // Opened for reading only, because more was not to be had.
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
        let grown = end.saturating_sub(Disk::len(self)?);
        if grown == 0 { Ok(()) } else { has_room(&rustix::fs::fstatvfs(self)?, grown, 0) }
    }
}

/// Bytes that an empty draft grows to at least: head, pools and the smallest index.
const DRAFT: u64 = 128 * 1024;

/// A file system that does not say how much it has is taken to have it. What is kept for root counts: we are root.
fn has_room(of: &StatVfs, bytes: u64, files: u64) -> io::Result<()> {
    let free = of.f_bfree.saturating_mul(of.f_frsize);
    let full = of.f_blocks > 0 && free < bytes || of.f_files > 0 && of.f_ffree < files;
    if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

/// The directory, or where it is not there the nearest one above it.
fn nearest(directory: &Path) -> &Path {
    directory.ancestors().find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(Path::new("/"))
}

/// Files can be made there.
fn takes_files(directory: &Path) -> io::Result<()> {
    Ok(access(directory, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// A network's directory on a real file system.
#[derive(Debug)]
pub(crate) struct Directory {
    home: PathBuf,
    store: PathBuf,
    patience: Duration,
}

impl Directory {
    /// The directory, and how long to wait for its lock. Nothing is touched yet.
    pub(crate) fn new(home: PathBuf, patience: Duration) -> Self {
        let store = home.join("store");
        Self { home, store, patience }
    }

    fn draft_path(&self) -> PathBuf {
        self.home.join("store.new")
    }
}

impl Shelf for Directory {
    type Disk = File;
    type Guard = Lock;

    fn lock(&self) -> Result<Lock, Error> {
        Lock::take(&self.home.join("lock"), self.patience)
    }

    fn open(&self) -> io::Result<Option<File>> {
        let open = |how| rustix::fs::open(&self.store, how | NOFOLLOW, Mode::empty()).map_err(io::Error::from);
        let opened = match open(OFlags::RDWR) {
            // A reader on a read-only file system may still look.
            Err(error) if is_read_only(&error) => open(OFlags::RDONLY),
            opened => opened,
        };
        match opened.map(File::from) {
            Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
            // A file in the directory's place holds no store either.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn prepare(&self) -> Result<(), Error> {
        let mut directory = fs::DirBuilder::new();
        let made = match directory.mode(0o700).create(&self.home) {
            // What is no directory is refused by the name of the lock in it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => directory.recursive(true).create(&self.home),
            made => made,
        };
        made.map_err(Error::io("make directory", &self.home))
    }

    fn draft(&self) -> io::Result<File> {
        let path = self.draft_path();
        // A leftover of a killed process, or something that was planted: never followed, never kept.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)
    }

    fn publish(&self, mut draft: File) -> io::Result<File> {
        draft.sync()?;
        fs::rename(self.draft_path(), &self.store)?;
        File::open(&self.home)?.sync_all()?;
        Ok(draft)
    }

    fn discard(&self) {
        // Best effort: a draft that stays is overwritten by the next one.
        let _ = fs::remove_file(self.draft_path());
    }

    fn probe(&self) -> Result<(), Error> {
        let there = nearest(&self.home);
        if there != self.home {
            let made = takes_files(there).and_then(|()| has_room(&rustix::fs::statvfs(there)?, 0, 2));
            return made.map_err(Error::io("make directory", &self.home));
        }
        let lock = self.home.join("lock");
        if fs::symlink_metadata(&lock).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let made = takes_files(there).and_then(|()| has_room(&rustix::fs::statvfs(there)?, 0, 1));
            made.map_err(Error::io("open", &lock))?;
        }
        Lock::probe(&lock)
    }

    fn would_draft(&self) -> io::Result<()> {
        let there = nearest(&self.home);
        takes_files(there)?;
        has_room(&rustix::fs::statvfs(there)?, DRAFT, 1)
    }

    fn path(&self) -> &Path {
        &self.store
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

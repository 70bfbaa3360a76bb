//! A network's directory on a real file system: the lock, the store, and a draft of the next one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use rustix::fs::{Mode, OFlags};

use crate::disk::{Disk, NOFOLLOW, StoreDir, has_room};
use crate::error::Error;
use crate::lock::Lock;

/// Bytes that an empty draft grows to at least: head, pools and the smallest index.
const DRAFT: u64 = 128 * 1024;

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
pub struct Directory {
    home: PathBuf,
    store: PathBuf,
    patience: Duration,
}

impl Directory {
    /// The directory, and how long to wait for its lock. Nothing is touched yet.
    #[must_use]
    pub fn new(home: PathBuf, patience: Duration) -> Self {
        let store = home.join("store");
        Self { home, store, patience }
    }

    /// The directory itself.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// How long to wait for a lock.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    fn draft_path(&self) -> PathBuf {
        self.home.join("store.new")
    }
}

impl StoreDir for Directory {
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

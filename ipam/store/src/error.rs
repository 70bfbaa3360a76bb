//! Why a store could not be used. Each variant names the file it is about.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::{Attachment, Code};

/// Why an operation on a network's store failed. Nothing was changed, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused an operation on a file.
    #[error("{op} {}: {source}{}", path.display(), hint(source))]
    Io {
        /// The operation, in one word.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is something else in the place of the lock or the store.
    #[error("{} is {what}, not a regular file: refused", path.display())]
    UnsafeFile {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// The store holds bytes that podlan did not write.
    #[error("lease store {} is damaged at line {line}: {what}", path.display())]
    Damaged {
        /// The store.
        path: PathBuf,
        /// The line, counted from 1 as editors do (each is 512 bytes long).
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The store was written by a newer podlan.
    #[error("lease store {} was written by a newer podlan (format {version}, this one reads {newest}): refused", path.display())]
    NewerFormat {
        /// The store.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version this program reads.
        newest: u32,
    },
    /// Another process held the lock until the deadline.
    #[error("lock {} is still held{} after {:.1} s", path.display(), Holder(" by process", *holder), waited.as_secs_f32())]
    LockBusy {
        /// The lock file.
        path: PathBuf,
        /// Process id of the holder, as /proc/locks has it; that process may be dead when a child inherited the lock.
        holder: Option<i32>,
        /// How long this process waited.
        waited: Duration,
    },
    /// Another process is adding the same attachment.
    #[error("another ADD of {} of {} is under way{}", owner.ifname, owner.container_id, Holder(" in process", Some(*holder)))]
    Claimed {
        /// The file of claims.
        path: PathBuf,
        /// The attachment.
        owner: Attachment,
        /// Process id of the other; 0 when it cannot be seen from here.
        holder: i32,
    },
    /// Each time the store was read, it was changed meanwhile.
    #[error("lease store {} keeps changing while it is read", path.display())]
    Unsteady {
        /// The store.
        path: PathBuf,
    },
    /// What identifies an attachment is never cut: what does not fit a line of the store is refused.
    #[error("{what} is too long to be recorded: {} bytes too many", excess)]
    DoesNotFit {
        /// Which words.
        what: &'static str,
        /// By how much.
        excess: usize,
    },
    /// The store has a line for no further pool.
    #[error("{pools} range sets asked for, at most {most} addresses are given to one attachment")]
    PoolsFull {
        /// Asked for.
        pools: usize,
        /// The limit.
        most: usize,
    },
}

impl Error {
    /// For `map_err`: the operation and the file that the kernel's answer is about.
    pub fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_path_buf(), source }
    }

    /// Whether the disk is full, or the quota used up.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Its one mapping to the codes of CNI.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } | Self::UnsafeFile { .. } => Code::Io,
            Self::Damaged { .. } | Self::NewerFormat { .. } => Code::StoreDamaged,
            Self::LockBusy { .. } | Self::Claimed { .. } | Self::Unsteady { .. } => Code::TryAgain,
            Self::DoesNotFit { .. } => Code::InvalidEnvironment,
            Self::PoolsFull { .. } => Code::InvalidConfig,
        }
    }

    /// What a person can do about it, if there is something.
    #[must_use]
    pub fn details(&self) -> String {
        match self {
            Self::Damaged { .. } => {
                "nothing was changed; when no pod of this network lives on this node the file may be removed".to_owned()
            }
            Self::LockBusy { .. } => {
                "a stopped or hung process holds it; it is released when that process ends".to_owned()
            }
            Self::Claimed { path, .. } => format!("it has its claim in {}", path.display()),
            _ => String::new(),
        }
    }
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string()).with_details(error.details())
    }
}

/// The process that is in the way, when it is known.
struct Holder(&'static str, Option<i32>);

impl fmt::Display for Holder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(pid) if pid > 0 || self.0 == " by process" => write!(out, "{} {pid}", self.0),
            _ => Ok(()),
        }
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => " (is the file system full?)",
        io::ErrorKind::QuotaExceeded => " (is the quota used up?)",
        io::ErrorKind::ReadOnlyFilesystem => " (is the file system mounted read-only?)",
        io::ErrorKind::PermissionDenied => " (root is needed)",
        _ => "",
    }
}

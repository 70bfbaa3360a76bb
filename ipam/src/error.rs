//! Everything that can go wrong with a lease, and its one mapping to CNI error codes.
//! Refuses catch-all strings: each variant names the file, address or owner it speaks of.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::{Attachment, Code};

/// Why an operation on the leases of a network failed. Nothing was changed, unless a variant says otherwise.
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
    /// The lock or the store is not a file of ours.
    #[error("{} is {what}, not a regular file: refused", path.display())]
    UnsafeFile {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// The store holds bytes that we did not write.
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
    /// Somebody held the lock for longer than we may wait.
    #[error("lock {} is still held{} after {:.1} s", path.display(), Held(*holder), waited.as_secs_f32())]
    LockBusy {
        /// The lock file.
        path: PathBuf,
        /// Process id of the holder, as /proc/locks has it; that process may be dead when a child inherited the lock.
        holder: Option<i32>,
        /// How long we waited.
        waited: Duration,
    },
    /// Another process is adding the same attachment.
    #[error("another ADD of {} of {} is under way{}", owner.ifname, owner.container_id, Claimed(*holder))]
    Claimed {
        /// The file of claims.
        path: PathBuf,
        /// The attachment.
        owner: Attachment,
        /// Process id of the other; 0 when it cannot be seen from here.
        holder: i32,
    },
    /// The store changed under a reader again and again.
    #[error("lease store {} keeps changing while it is read", path.display())]
    Unsteady {
        /// The store.
        path: PathBuf,
    },
    /// Every address of a range set is taken.
    #[error("no IP addresses available in range set: {set}")]
    Exhausted {
        /// The set as `first-last` of each range.
        set: String,
        /// Leased and alive, or not judged.
        used: u64,
        /// Released, but not usable in this set.
        cooling: u64,
        /// Leased, and neither provably alive nor provably dead.
        unprovable: u64,
    },
    /// The attachment has its address already, and is not provably dead.
    #[error("{address} has been allocated to {owner}, duplicate allocation is not allowed")]
    Duplicate {
        /// The address it has.
        address: IpAddr,
        /// Its container id.
        owner: String,
    },
    /// A requested address is the gateway.
    #[error("requested ip {address} is subnet's gateway")]
    RequestedGateway {
        /// The address.
        address: IpAddr,
    },
    /// A requested address is taken, or is one that is never given.
    #[error("requested IP address {address} is not available in range set {set}")]
    RequestedTaken {
        /// The address.
        address: IpAddr,
        /// The set it belongs to.
        set: String,
    },
    /// Requested addresses that no range set can give.
    #[error("failed to allocate all requested IPs: {}", Listed(addresses))]
    RequestedUnplaced {
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// Identity is never cut: what does not fit a line of the store is refused.
    #[error("{what} is too long to be recorded: {} bytes too many", excess)]
    DoesNotFit {
        /// Which words.
        what: &'static str,
        /// By how much.
        excess: usize,
    },
    /// More range sets than one transaction holds.
    #[error("{sets} range sets asked for, at most {most} addresses are given to one attachment")]
    TooManySets {
        /// Asked for.
        sets: usize,
        /// The limit.
        most: usize,
    },
    /// STATUS: addresses cannot be given.
    #[error("{0}")]
    NotReady(#[source] Box<Error>),
}

impl Error {
    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_path_buf(), source }
    }

    /// Is the disk full (or the quota used up)?
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    fn code(&self) -> Code {
        match self {
            Self::Io { .. } | Self::UnsafeFile { .. } => Code::Io,
            Self::Damaged { .. } | Self::NewerFormat { .. } => Code::StoreDamaged,
            Self::LockBusy { .. } | Self::Claimed { .. } | Self::Unsteady { .. } | Self::Exhausted { .. } => {
                Code::TryAgain
            }
            Self::Duplicate { .. } => Code::DuplicateAttachment,
            Self::RequestedGateway { .. } | Self::RequestedTaken { .. } | Self::RequestedUnplaced { .. } => {
                Code::AddressTaken
            }
            Self::DoesNotFit { .. } => Code::InvalidEnvironment,
            Self::TooManySets { .. } => Code::InvalidConfig,
            Self::NotReady(_) => Code::NotAvailable,
        }
    }

    fn details(&self) -> String {
        match self {
            Self::Exhausted { used, cooling, unprovable, .. } => {
                format!("used {used}, cooling {cooling}, unprovable {unprovable}")
            }
            Self::NotReady(inner) => inner.details(),
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

struct Held(Option<i32>);

impl fmt::Display for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(out, " by process {pid}"))
    }
}

struct Claimed(i32);

impl fmt::Display for Claimed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 { write!(out, " in process {}", self.0) } else { Ok(()) }
    }
}

struct Listed<'a>(&'a [IpAddr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, address) in self.0.iter().enumerate() {
            if position > 0 {
                out.write_str(", ")?;
            }
            write!(out, "{address}")?;
        }
        Ok(())
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

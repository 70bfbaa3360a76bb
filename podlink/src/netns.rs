//! Network namespaces: the one that we run in, the pod's, and the passage between them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use netlink::{KernelError, Socket};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{FsType, fstatfs};
use rustix::fs::{Mode, OFlags};

/// `NSFS_MAGIC` of linux/magic.h: what every namespace file lies on.
const NSFS_MAGIC: FsType = FsType(0x6e73_6673);

/// What messages call the node's own: the namespace of a socket has no path.
const OWN: &str = "of the node";

/// Why a path cannot serve as the pod's network namespace.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("open network namespace {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("{path} is not a namespace")]
    NotNamespace { path: PathBuf },
    #[error("{path} is not a namespace")]
    Unmounted { path: PathBuf },
    #[error("{path} is not a network namespace")]
    OtherKind { path: PathBuf },
    #[error("{path} is the network namespace of the node itself; a pod must have one of its own")]
    Own { path: PathBuf },
    #[error("enter network namespace {path}: {source} (does another user namespace own it?)")]
    Enter { path: PathBuf, source: Errno },
    #[error("start a thread that enters network namespace {path}: {source}")]
    Thread { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
}

/// What kind of failure it is, to distinguish "gone" from "not now".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no namespace at that path: nothing, or the plain file that one was mounted on.
    Gone,
    /// There is something else at that path, or the path is none.
    Unusable,
    /// Short of something that may be there at the next try: descriptors, memory, threads.
    Passing,
    /// The kernel refuses.
    Refused,
}

impl Error {
    /// What kind of failure it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unmounted { .. } => Fault::Gone,
            Self::NotNamespace { .. } | Self::OtherKind { .. } | Self::Own { .. } => Fault::Unusable,
            Self::Open { source, .. } | Self::Thread { source, .. } => source.raw_os_error().map_or(Fault::Refused, of),
            Self::Enter { source, .. } => of(*source as i32),
            Self::Netlink(error) => errno_of(error).map_or(Fault::Refused, |errno| match of(errno) {
                Fault::Passing => Fault::Passing,
                _ => Fault::Refused,
            }),
        }
    }
}

fn of(errno: i32) -> Fault {
    match Errno::from_raw(errno) {
        // ESRCH: the process of a /proc/PID/ns/net has ended.
        Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH => Fault::Gone,
        Errno::ELOOP | Errno::ENAMETOOLONG | Errno::EINVAL => Fault::Unusable,
        errno if is_passing(errno) => Fault::Passing,
        _ => Fault::Refused,
    }
}

/// Errors that another try may not meet.
#[must_use]
pub fn is_passing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR | Errno::EBUSY
    )
}

/// The kernel's number for what is at the root of an error, if it came from the kernel.
#[must_use]
pub fn errno_of(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref::<KernelError>() {
            return Some(refused.errno as i32);
        }
        if let Some(failed) = error.downcast_ref::<io::Error>() {
            return failed.raw_os_error();
        }
        if let Some(errno) = error.downcast_ref::<Errno>() {
            return Some(*errno as i32);
        }
        next = error.source();
    }
    None
}

/// An open network namespace. It lives on while this value does, whatever becomes of its path.
#[derive(Debug)]
pub struct Netns {
    file: File,
    path: PathBuf,
    identity: (u64, u64),
}

impl Netns {
    /// The namespace of a socket: the node's own.
    pub fn of(socket: &Socket) -> Result<Self, Error> {
        let open = |source| Error::Open { path: OWN.into(), source };
        Self::new(socket.netns().map_err(open)?.into(), Path::new(OWN))
    }

    /// The pod's namespace at `path`: a namespace file, and not `own`. Its kind shows when it is entered.
    pub fn of_pod(path: &Path, own: &Self) -> Result<Self, Error> {
        let netns = Self::at(path)?;
        if netns.identity == own.identity {
            return Err(Error::Own { path: path.to_owned() });
        }
        Ok(netns)
    }

    fn at(path: &Path) -> Result<Self, Error> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        // The type is checked before the file is opened: a fifo would wait for a writer, a device might act.
        let kind = std::fs::metadata(path).map_err(open)?.file_type();
        if !kind.is_file() {
            return Err(Error::NotNamespace { path: path.to_owned() });
        }
        let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let file = File::from(opened.map_err(|errno| open(errno.into()))?);
        if fstatfs(&file).map_err(|errno| open(errno.into()))?.filesystem_type() != NSFS_MAGIC {
            return Err(Error::Unmounted { path: path.to_owned() });
        }
        Self::new(file, path)
    }

    fn new(file: File, path: &Path) -> Result<Self, Error> {
        let metadata = file.metadata().map_err(|source| Error::Open { path: path.to_owned(), source })?;
        Ok(Self { identity: (metadata.st_dev(), metadata.st_ino()), file, path: path.to_owned() })
    }

    /// Device and inode of the namespace file: equal for equal namespaces that live at one time.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// A socket in it. A thread of its own goes there and ends, so that the caller stays where it is whatever happens.
    ///
    /// # Errors
    /// When it cannot be entered (that takes `CAP_SYS_ADMIN`), or the kernel gives no socket.
    pub fn socket(&self) -> Result<Socket, Error> {
        let failed = |source| Error::Thread { path: self.path.clone(), source };
        std::thread::scope(|scope| {
            let open = || {
                self.enter()?;
                Ok(Socket::open()?)
            };
            let thread = std::thread::Builder::new().spawn_scoped(scope, open).map_err(failed)?;
            thread.join().unwrap_or_else(|_panic| Err(failed(io::Error::other("it panicked"))))
        })
    }

    /// Moves the calling thread into it. Sockets that are open keep the namespace in which they were opened.
    pub fn enter(&self) -> Result<(), Error> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|source| match source {
            Errno::EINVAL => Error::OtherKind { path: self.path.clone() },
            source => Error::Enter { path: self.path.clone(), source },
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

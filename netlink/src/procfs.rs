//! Where the kernel's settings are opened: /proc, or a procfs that is mounted nowhere and has one reader.
//!
//! One /proc/sys/net shows each reader its own network namespace, and keeps a name for each namespace that was ever looked
//! at, all in one chain: what is below it costs more with each pod, 0.1 us to find and 0.3 us to see for the first time.
//! A procfs of one's own begins with an empty chain, at some 60 us whatever runs on the node.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// A procfs. What it shows of the network is the calling thread's network namespace.
#[derive(Debug)]
pub struct Procfs {
    /// Its root; `None` for /proc.
    root: Option<OwnedFd>,
}

impl Procfs {
    /// The one at /proc.
    pub fn of_machine() -> Self {
        Self { root: None }
    }

    /// One of the caller's own, gone with the value; /proc where that is refused (it takes CAP_SYS_ADMIN and Linux 5.2,
    /// and is no faster before 5.8).
    pub fn own() -> Self {
        let mount = || -> rustix::io::Result<OwnedFd> {
            let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        Self { root: mount().ok() }
    }

    /// Opens what has this path below /proc.
    pub(crate) fn open(&self, path: &Path, how: OFlags) -> io::Result<File> {
        let how = how | OFlags::CLOEXEC;
        let opened = match (&self.root, path.strip_prefix("/proc")) {
            (Some(root), Ok(below)) => openat(root, below, how, Mode::empty()),
            _ => openat(CWD, path, how, Mode::empty()),
        };
        Ok(opened?.into())
    }
}

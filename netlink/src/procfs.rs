//! Where the kernel's settings are opened: /proc, or a procfs that is mounted nowhere and has one reader.
//!
//! One /proc/sys/net shows each reader its own network namespace, and keeps a name for each namespace that was ever looked
//! at, all in one chain: what is below it costs more with each pod, 0.1 us to find and 0.3 us to see for the first time.
//! A procfs of one's own begins with an empty chain, at some 60 us whatever runs on the node.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags, openat, statvfs, statx};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Below it are the settings of a network namespace.
const SETTINGS: &str = "/proc/sys/net";

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

    /// One of the caller's own, gone with the value; /proc where that is refused (it takes CAP_SYS_ADMIN; before Linux
    /// 5.8 it would be no faster), and where the settings are read-only or something is mounted over them.
    pub fn own() -> Self {
        Self { root: mount().ok().flatten() }
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

fn mount() -> rustix::io::Result<Option<OwnedFd>> {
    let mount_of = |path| statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID);
    let (proc, settings) = (mount_of("/proc")?, mount_of(SETTINGS)?);
    let comparable = (proc.stx_mask & settings.stx_mask) & StatxFlags::MNT_ID.bits() != 0;
    if !comparable || proc.stx_mnt_id != settings.stx_mnt_id || is_read_only()? {
        return Ok(None);
    }
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(Some)
}

fn is_read_only() -> rustix::io::Result<bool> {
    Ok(statvfs(SETTINGS)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

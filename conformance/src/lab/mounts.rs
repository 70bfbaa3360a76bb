//! The mounts of the lab and of its nodes: private, so that nothing shows on the machine.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

const NOTHING: Option<&str> = None;
/// The directory of libcni's results, whatever directory its caller chooses.
pub(super) const CNI_RESULTS: &str = "/var/lib/cni";

const CGROUP: &str = "/sys/fs/cgroup";
const HARMLESS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Makes this mount namespace independent of the one that it was copied from, in both directions.
pub(super) fn keep_to_ourselves() -> Result<(), Errno> {
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)
}

/// The processes of this pid namespace, and the /proc/sys of this user's network namespaces.
pub(super) fn proc() -> Result<(), Errno> {
    mount(Some("proc"), "/proc", Some("proc"), HARMLESS, NOTHING)
}

/// An empty file system in memory.
pub(super) fn tmpfs(at: &str) -> Result<(), Errno> {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
}

/// Shared memory of the lab, where the machine has any: what a program leaves there outlives it, and podman's locks are
/// one file for all users.
pub(super) fn shared_memory() -> Result<(), Errno> {
    const AT: &str = "/dev/shm";
    match Path::new(AT).is_dir() {
        true => mount(Some("tmpfs"), AT, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=1777")),
        false => Ok(()),
    }
}

/// A /var/lib in memory with every directory as it was, except for an empty [`CNI_RESULTS`]. It is built at `aside`.
/// The other directories are not hidden: one may have the checkout, and with it the programs under test.
pub(super) fn own_results(aside: &Path) -> Result<(), Errno> {
    let (folder, own) = ("/var/lib", Path::new(CNI_RESULTS).file_name());
    fs::create_dir(aside).map_err(errno)?;
    mount(Some("tmpfs"), aside, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))?;
    for entry in fs::read_dir(folder).map_err(errno)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && Some(&*entry.file_name()) != own {
            let shown = aside.join(entry.file_name());
            fs::create_dir(&shown).map_err(errno)?;
            bind(entry.path(), &shown)?;
        }
    }
    fs::create_dir(aside.join(own.unwrap_or_default())).map_err(errno)?;
    mount(Some(aside), folder, NOTHING, MsFlags::MS_MOVE, NOTHING)?;
    fs::remove_dir(aside).map_err(errno)
}

/// Shows `from` at `to` too, including its mounts.
pub(super) fn bind(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Errno> {
    mount(Some(from.as_ref()), to.as_ref(), NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)
}

/// Writes below `folder` go to `disk` from now on; the machine's files there stay visible.
pub(super) fn own_folder(folder: &str, disk: &Path) -> Result<(), Errno> {
    let (changes, work) = (disk.join("changes"), disk.join("work"));
    for made in [&changes, &work] {
        fs::create_dir_all(made).map_err(errno)?;
    }
    let options = format!("userxattr,lowerdir={folder},upperdir={},workdir={}", changes.display(), work.display());
    mount(Some("overlay"), folder, Some("overlay"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(&*options))
}

/// Removes this mount namespace's write access to the machine's own sysctls: all but those of networks, which each
/// network namespace has for itself. Root of the machine has that access even inside a user namespace.
pub(super) fn keep_sysctls() -> Result<(), Errno> {
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | HARMLESS;
    for entry in fs::read_dir("/proc/sys").map_err(errno)?.flatten() {
        if entry.file_name() != "net" {
            bind(entry.path(), entry.path())?;
            mount(NOTHING, &entry.path(), NOTHING, read_only, NOTHING)?;
        }
    }
    Ok(())
}

/// Removes this mount namespace's write access to the machine's cgroups, for the same reason.
pub(super) fn keep_cgroups() -> Result<(), Errno> {
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | HARMLESS;
    let hierarchies = fs::read_dir(CGROUP).into_iter().flatten().flatten().map(|entry| entry.path());
    for at in [CGROUP.into()].into_iter().chain(hierarchies) {
        match mount(NOTHING, &at, NOTHING, read_only, NOTHING) {
            // Not a separate mount.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Lets mounts made outside of a container's namespace appear inside it, where the container requests that.
pub(super) fn share_with_containers() -> Result<(), Errno> {
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SHARED, NOTHING)
}

/// A /sys that shows the links of this network namespace, with the machine's cgroups at their place: a container
/// runtime reads them there.
pub(super) fn sysfs() -> Result<(), Errno> {
    let aside = "/run/.cgroup";
    let has_cgroups = Path::new(CGROUP).is_dir();
    if has_cgroups {
        fs::create_dir_all(aside).map_err(errno)?;
        bind(CGROUP, aside)?;
    }
    mount(Some("sysfs"), "/sys", Some("sysfs"), HARMLESS, NOTHING)?;
    if has_cgroups {
        bind(aside, CGROUP)?;
        umount2(aside, MntFlags::MNT_DETACH)?;
        fs::remove_dir(aside).map_err(errno)?;
    }
    Ok(())
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

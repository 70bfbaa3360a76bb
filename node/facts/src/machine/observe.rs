//! Looks at file systems, locks and sockets. Decides nothing.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{io, thread};

use nix::sys::stat::{major, minor};
use nix::sys::statvfs::statvfs;

use super::{Holder, Loopback, Space};
use crate::Seen;
use state::RunDir;

/// A plugin holds a lock for a few milliseconds.
const A_WHILE: Duration = Duration::from_millis(300);

/// Where containerd listens.
const SOCKETS: [&str; 2] = ["/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock"];

/// Where containerd reads its configuration.
const CONTAINERD: &str = "/etc/containerd";

/// The room in the file systems of these directories, each file system once.
pub fn space(directories: &[PathBuf]) -> Seen<Vec<Space>> {
    let (mut seen, mut all) = (Vec::new(), Vec::new());
    for directory in directories {
        let device = match fs::metadata(directory) {
            Ok(metadata) => metadata.dev(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("failed to look at {}: {error}", directory.display())),
        };
        if seen.contains(&device) {
            continue;
        }
        seen.push(device);
        let failed = |errno| format!("failed to ask for the room in {}: {errno}", directory.display());
        let there = statvfs(directory).map_err(failed)?;
        let (files, block) = (there.files(), there.fragment_size());
        all.push(Space {
            directory: directory.display().to_string(),
            free: there.blocks_available().saturating_mul(block),
            size: there.blocks().saturating_mul(block),
            free_files: (files > 0).then(|| there.files_available()),
        });
    }
    Ok(all)
}

/// Whether an agent runs: it holds the lock of its run directory. `None` where there is no such file.
pub fn is_agent_running(run_dir: &RunDir) -> Option<bool> {
    let path = run_dir.lock_file();
    let metadata = fs::metadata(&path).ok()?;
    if holder_of(&metadata).is_some() {
        return Some(true);
    }
    // Not listed: it is of another pid namespace, or there is none. Shared, and let go at once.
    let file = File::open(&path).ok()?;
    match file.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Who has held a lock of the stores below these directories for a while.
pub fn holders(data_dirs: &[PathBuf]) -> Vec<Holder> {
    let networks = data_dirs.iter().filter_map(|dir| ipam::network_directories(dir).ok()).flatten();
    let locks: Vec<PathBuf> = networks.map(|network| network.join("lock")).collect();
    let held = || -> Vec<(PathBuf, i32)> {
        let of = |path: &PathBuf| Some((path.clone(), holder_of(&fs::metadata(path).ok()?)?));
        locks.iter().filter_map(of).collect()
    };
    let first = held();
    if first.is_empty() {
        return Vec::new();
    }
    thread::sleep(A_WHILE);
    let still = held().into_iter().filter(|holder| first.contains(holder));
    still
        .map(|(path, pid)| Holder {
            lock: path.display().to_string(),
            pid,
            command: command(pid),
            stopped: is_stopped(pid),
        })
        .collect()
}

/// The process that has an exclusive lock on a file, as /proc/locks says.
fn holder_of(file: &fs::Metadata) -> Option<i32> {
    let (device, inode) = (file.dev(), file.ino());
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, _advisory, mode, pid, locked) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        (kind == "FLOCK" && mode == "WRITE" && locked == file).then(|| pid.parse().ok())?
    })
}

fn command(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
}

fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

/// containerd's need of the plugin `loopback`; `None` where there is no containerd, or it sets `lo` up by itself.
pub fn loopback(bin_dir: &Path) -> Option<Loopback> {
    let is_socket = |path: &&&str| fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let socket = SOCKETS.iter().find(is_socket)?;
    if sets_lo_itself(Path::new(CONTAINERD)) {
        return None;
    }
    let path = bin_dir.join("loopback");
    let there = fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_dir());
    Some(Loopback { socket: (*socket).to_owned(), path: path.display().to_string(), there })
}

/// Whether a file of its configuration says `use_internal_loopback = true`.
fn sets_lo_itself(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.into_iter().any(|path| {
        if path.is_dir() {
            return sets_lo_itself(&path);
        }
        let text = path.extension().is_some_and(|end| end == "toml").then(|| fs::read_to_string(&path).ok()).flatten();
        let plain = |line: &str| line.split_whitespace().collect::<String>();
        text.is_some_and(|text| text.lines().any(|line| plain(line).starts_with("use_internal_loopback=true")))
    })
}

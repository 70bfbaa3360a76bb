//! A process confined like the agent's container: read-only mounts except for a few directories, and the system calls
//! of a seccomp profile only.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

const NOTHING: Option<&str> = None;

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a mount.
    #[error("{doing}: {errno}")]
    Mount {
        /// What was being done.
        doing: String,
        /// The kernel's error.
        errno: Errno,
    },
    /// A file could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The profile is not an OCI profile with one default action and one list of allowed calls.
    #[error("{path} is no such profile: {why}")]
    Profile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The filter could not be built or installed.
    #[error("filter system calls: {0}")]
    Filter(#[from] seccompiler::Error),
}

/// Makes every mount of this process read-only, except for `writable`. The process must have one thread.
///
/// # Errors
/// [`Error::Mount`] when the kernel refuses.
pub fn read_only(writable: &[PathBuf]) -> Result<(), Error> {
    let failed = |doing: String| move |errno| Error::Mount { doing, errno };
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("take mounts of its own".into()))?;
    for folder in writable {
        mount(Some(folder), folder, NOTHING, MsFlags::MS_BIND, NOTHING)
            .map_err(failed(format!("bind {}", folder.display())))?;
    }
    let path = PathBuf::from("/proc/self/mountinfo");
    let table = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    for line in table.lines() {
        let Some(at) = line.split(' ').nth(4).map(PathBuf::from).filter(|at| !writable.contains(at)) else { continue };
        // A mount that another one hides, or whose path is escaped in the table, cannot be reached by its path.
        let Ok(held) = statvfs(&at).map(|there| there.flags()) else { continue };
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | kept(held);
        match mount(NOTHING, &at, NOTHING, read_only, NOTHING) {
            // Another mount hides this one (a new /sys hides the machine's /sys/kernel/tracing), and has a path of that
            // name.
            Err(Errno::EINVAL) => {}
            done => done.map_err(failed(format!("make {} read-only", at.display())))?,
        }
    }
    Ok(())
}

/// The flags that a remount must keep: only the owner of a mount may clear them.
fn kept(held: FsFlags) -> MsFlags {
    let pairs = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
    ];
    pairs.iter().filter(|(has, _)| held.contains(*has)).fold(MsFlags::empty(), |all, (_, flag)| all | *flag)
}

/// Allows this process, and whatever it executes, only the system calls of an OCI seccomp profile.
///
/// # Errors
/// When the profile cannot be read, or the kernel takes no filter.
pub fn allow_only(profile: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(profile).map_err(|source| Error::Read { path: profile.into(), source })?;
    let calls = allowed(&text).map_err(|why| Error::Profile { path: profile.into(), why })?;
    // Newer architectures lack the calls that others have replaced; runtimes skip them too.
    let known = calls.iter().filter(|call| cfg!(target_arch = "x86_64") || compile(&[call.as_str()]).is_ok());
    let filters = compile(&known.map(String::as_str).collect::<Vec<_>>())?;
    filters.values().try_for_each(|filter| Ok(apply_filter(filter)?))
}

fn compile(calls: &[&str]) -> Result<BTreeMap<String, BpfProgram>, seccompiler::Error> {
    let calls: Vec<Value> = calls.iter().map(|call| json!({ "syscall": call })).collect();
    let filter = json!({ "all": { "mismatch_action": { "errno": 1 }, "match_action": "allow", "filter": calls } });
    Ok(compile_from_json(filter.to_string().as_bytes(), architecture())?.into_iter().collect())
}

/// The calls that a profile allows: its default action must be `EPERM`.
fn allowed(text: &str) -> Result<Vec<String>, String> {
    let profile: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if profile["defaultAction"] != "SCMP_ACT_ERRNO" {
        return Err("its default is not SCMP_ACT_ERRNO".to_owned());
    }
    let mut calls = Vec::new();
    for rule in profile["syscalls"].as_array().into_iter().flatten() {
        if rule["action"] != "SCMP_ACT_ALLOW" || rule.get("args").is_some() {
            return Err(format!("{rule} does more than allow"));
        }
        calls.extend(rule["names"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(calls)
}

pub(super) const fn architecture() -> TargetArch {
    if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 }
}

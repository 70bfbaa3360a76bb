//! The entry: from the machine into namespaces of the lab, as any user.
//!
//! The caller's process stays outside the new pid namespace and waits; `init` is started inside as PID 1. It dies with
//! this process, and this process with the one that started it, so a killed test or demo takes the whole lab with it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};

use super::{Refusal, Step};

/// Every user id but the last. containerd and runc read the whole range, `0 0 4294967295`, as "no user namespace".
const EVERY_ID: &str = "0 0 4294967294";

/// Set, the lab keeps the user namespace of the machine, whose root it has then: for a machine that exists for the tests alone.
/// Kernels such as 7.3 allow rules of nf_tables that write to packets in no other.
const KEEP_USER: &str = "PODLAN_LAB_KEEP_USER";

/// Why a command did not run inside the lab.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not let this user make a lab.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something else of the system failed.
    #[error("enter the lab: {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

fn system(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::System { doing, source }
}

/// Runs `command` inside a new lab and returns how it ended. The process must have one thread: the kernel refuses a new
/// user namespace to a process with more.
///
/// # Errors
/// [`Error::Refused`] where the machine forbids such namespaces, with the fixes; [`Error::System`] for all else.
pub fn enter(command: &[OsString]) -> Result<ExitStatus, Error> {
    let myself = std::env::current_exe().map_err(system("find my own program"))?;
    if std::env::var_os(KEEP_USER).is_none() {
        let mapper = if geteuid().is_root() { Mapper::start(&myself).ok() } else { None };
        own_user_namespace(mapper)?;
    }
    let namespaces = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(namespaces).map_err(|errno| Refusal::explain(Step::Namespaces, errno))?;
    set_pdeathsig(Signal::SIGKILL).map_err(|errno| system("ask to die with the parent")(errno.into()))?;

    let mut init = Command::new(&myself)
        .args(["init", "--parent", &std::process::id().to_string(), "--"])
        .args(command)
        .spawn()
        .map_err(system("start init"))?;
    init.wait().map_err(system("wait for init"))
}

/// The exit code by which a shell would report `status`.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

fn own_user_namespace(mapper: Option<Mapper>) -> Result<(), Error> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| Refusal::explain(Step::UserNamespace, errno))?;
    if mapper.is_some_and(|mapper| mapper.map().is_ok()) {
        return Ok(());
    }
    let refused =
        |error: io::Error| Refusal::explain(Step::IdMap, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
    fs::write("/proc/self/setgroups", "deny").map_err(refused)?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).map_err(refused)?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).map_err(refused)?;
    Ok(())
}

/// A process that stays in the caller's user namespace, where only root may map every id. Without all ids, root inside
/// the lab could not read a home directory closed to others, such as the one that has the checkout.
struct Mapper(Child);

impl Mapper {
    fn start(myself: &std::path::Path) -> io::Result<Self> {
        Command::new(myself)
            .args(["map-ids", &std::process::id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }

    fn map(mut self) -> io::Result<()> {
        if let Some(mut go) = self.0.stdin.take() {
            go.write_all(b"!")?;
        }
        match self.0.wait()?.success() {
            true => Ok(()),
            false => Err(io::Error::other("the ids could not be mapped")),
        }
    }
}

/// Maps every id into the user namespace of process `pid`, once a byte on stdin reports that the process is in it.
///
/// # Errors
/// The system's error, such as root without `CAP_SETUID`; then nothing is mapped.
pub fn map_ids(pid: u32) -> io::Result<()> {
    io::stdin().read_exact(&mut [0])?;
    fs::write(format!("/proc/{pid}/uid_map"), EVERY_ID)?;
    fs::write(format!("/proc/{pid}/gid_map"), EVERY_ID)
}

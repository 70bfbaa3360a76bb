//! PID 1 of the lab: makes its mounts, runs its command, reaps its processes.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Refusal, Step, mounts};

/// The directory that the lab's nodes share; each node sees it at the same path.
pub const SHARED: &str = "/run/lab";

/// Why the lab's first process failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not allow the mounts.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The process that started the lab has already ended.
    #[error("the lab was abandoned before it began")]
    Abandoned,
    /// The command cannot be started.
    #[error("start {command}: {source}")]
    Command {
        /// The program.
        command: String,
        /// The system's error.
        source: io::Error,
    },
    /// Something else of the system failed.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Sets up the lab, runs `command` in it and returns its exit code, as a shell would. `parent` is the process outside
/// that started this one; the lab ends with it.
///
/// # Errors
/// See [`Error`].
pub fn run(parent: u32, command: &[OsString]) -> Result<u8, Error> {
    die_with_the_outside(parent)?;
    furnish()?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::Command { command: String::new(), source: io::ErrorKind::InvalidInput.into() });
    };
    let child = Command::new(program)
        .args(arguments)
        .env(super::INSIDE, "1")
        .spawn()
        .map_err(|source| Error::Command { command: program.to_string_lossy().into_owned(), source })?;
    reap_until(child.id())
}

/// Called while /proc still is that of the outside, so that the parent can be identified by its process id there: it
/// may have ended before this process could request a signal.
fn die_with_the_outside(parent: u32) -> Result<(), Error> {
    let system = |doing| move |source| Error::System { doing, source };
    set_pdeathsig(Signal::SIGKILL).map_err(|errno| system("ask to die with the parent")(errno.into()))?;
    let status = fs::read_to_string("/proc/self/status").map_err(system("find the parent"))?;
    let is_now = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
    if is_now == Some(&*parent.to_string()) { Ok(()) } else { Err(Error::Abandoned) }
}

fn furnish() -> Result<(), Error> {
    let refused = |errno: Errno| Refusal::explain(Step::Mounts, errno);
    mounts::keep_to_ourselves().map_err(refused)?;
    mounts::proc().map_err(refused)?;
    mounts::tmpfs("/run").map_err(refused)?;
    mounts::shared_memory().map_err(refused)?;
    mounts::own_results(Path::new("/run/var-lib")).map_err(refused)?;
    mounts::sysfs().map_err(refused)?;
    fs::create_dir(SHARED).map_err(|source| Error::System { doing: "make the shared folder", source })
}

/// Waits for every process of the lab that ends, until `child` does; the rest dies with PID 1.
fn reap_until(child: u32) -> Result<u8, Error> {
    let code = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    let is_it = |pid: Pid| u32::try_from(pid.as_raw()).is_ok_and(|pid| pid == child);
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, status)) if is_it(pid) => return Ok(code(status)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if is_it(pid) => return Ok(code(128 + signal as i32)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::System { doing: "wait for the command", source: errno.into() }),
        }
    }
}

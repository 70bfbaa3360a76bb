//! Changes what a process sends to the kernel: a tracer beside it, which is stopped at each `sendto` by its seccomp filter
//! (ptrace(2), seccomp(2)). The tracer is a child of the process, so that the process keeps its id.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use nix::errno::Errno;
use nix::libc::PTRACE_EVENT_SECCOMP;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Error, Feature, take_out};

/// A datagram that is longer is not looked at.
const LONGEST: usize = 1 << 20;

/// The tracer traces.
const READY: &[u8] = b"ready";

/// Starts the tracer of this process and waits until it traces.
pub(super) fn start(features: &[Feature]) -> Result<(), Error> {
    let myself = std::env::current_exe().map_err(Error::Editor)?;
    let names = features.iter().filter_map(|feature| Some(OsString::from(feature.to_possible_value()?.get_name())));
    let mut editor = Command::new(myself)
        .args(["edit".into(), OsString::from(std::process::id().to_string())])
        .args(names)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Whoever ends the group of the process does not end the tracer before it.
        .process_group(0)
        .spawn()
        .map_err(Error::Editor)?;
    let mut said = editor.stdout.take().ok_or_else(|| Error::Editor(io::ErrorKind::BrokenPipe.into()))?;
    said.read_exact(&mut [0; READY.len()]).map_err(Error::Editor)
}

/// Takes the features out of what the process and those that it starts send, until it ends; says so once it does.
///
/// # Errors
/// When the kernel allows no tracing.
pub fn edit(process: i32, features: &[Feature], out: &mut impl Write) -> Result<(), Error> {
    let of_process = Pid::from_raw(process);
    let options = Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(of_process, options).map_err(|errno| Error::Trace { process, errno })?;
    out.write_all(READY).and_then(|()| out.flush()).map_err(Error::Editor)?;
    loop {
        let signal = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, ..)) if ended == of_process => return Ok(()),
            Ok(WaitStatus::PtraceEvent(thread, _, PTRACE_EVENT_SECCOMP)) => {
                // One that was killed meanwhile has nothing to edit.
                edit_of(thread, features).ok();
                Some((thread, None))
            }
            Ok(WaitStatus::PtraceEvent(thread, ..)) => Some((thread, None)),
            Ok(WaitStatus::Stopped(thread, signal)) => Some((thread, Some(signal))),
            Ok(_) | Err(Errno::EINTR) => None,
            Err(errno) => return Err(Error::Trace { process, errno }),
        };
        if let Some((thread, signal)) = signal {
            go_on(thread, signal);
        }
    }
}

/// Lets a thread run; one that was killed meanwhile cannot.
fn go_on(thread: Pid, signal: Option<Signal>) {
    ptrace::cont(thread, signal).ok();
}

/// Edits the datagram that a stopped thread is about to send.
fn edit_of(thread: Pid, features: &[Feature]) -> io::Result<()> {
    let at = |what: &str| format!("/proc/{thread}/{what}");
    // The number of the call, then its arguments (proc(5)).
    let call = fs::read_to_string(at("syscall"))?;
    let argument = |number: usize| {
        let word = call.split_ascii_whitespace().nth(1 + number)?;
        u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
    };
    let (Some(address), Some(length)) = (argument(1), argument(2).and_then(|length| usize::try_from(length).ok()))
    else {
        return Ok(());
    };
    if length > LONGEST {
        return Ok(());
    }
    let memory = OpenOptions::new().read(true).write(true).open(at("mem"))?;
    let mut datagram = vec![0; length];
    memory.read_exact_at(&mut datagram, address)?;
    if take_out(features, &mut datagram) { memory.write_all_at(&datagram, address) } else { Ok(()) }
}

//! The edge of a plugin's process: stdin with a deadline, stdout for one JSON object, an exit code, an error object on panic.
//! The only place that touches the process's own streams.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, StdoutLock, Write};
use std::os::fd::AsFd;
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cni::{Code, Error, Plugin, SpecVersion, serve};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a runtime may take to write its config.
const PATIENCE: Duration = Duration::from_secs(10);
/// VERSION must answer even to a runtime that never writes.
const PATIENCE_FOR_VERSION: Duration = Duration::from_secs(1);

/// Something was written to stdout: a second object would make both unreadable.
static WRITTEN: AtomicBool = AtomicBool::new(false);

/// Serve the one call that this process was started for. A broken stdout is an error, not a signal (Rust's runtime
/// ignores SIGPIPE), so that an ADD whose result cannot be written is undone.
pub fn run(plugin: &impl Plugin) -> ExitCode {
    panic::set_hook(Box::new(report_panic));
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let version = variables.iter().any(|(key, value)| key == "CNI_COMMAND" && value == "VERSION");
    let patience = if version { PATIENCE_FOR_VERSION } else { PATIENCE };
    let stdin = io::stdin();
    let mut stdin = Bounded { terminal: stdin.is_terminal(), stdin, until: Instant::now() + patience };
    let mut stdout = Stdout { stdout: io::stdout().lock() };
    ExitCode::from(serve(plugin, variables, &mut stdin, &mut stdout, &mut io::stderr().lock()))
}

/// Standard input that gives up at a deadline. Read without a buffer of its own, so that poll(2) knows all there is.
struct Bounded {
    stdin: io::Stdin,
    /// A terminal is not read: nobody types a config.
    terminal: bool,
    until: Instant,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.terminal {
            return Ok(0);
        }
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.stdin.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, timeout) {
                Ok(0) if left.is_zero() => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the runtime did not close stdin"));
                }
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return nix::unistd::read(&self.stdin, buffer).map_err(io::Error::from),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Standard output that remembers whether something was written.
struct Stdout {
    stdout: StdoutLock<'static>,
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.store(true, Ordering::Relaxed);
        self.stdout.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// A panic is a fault of podlan: reported as the protocol's error 999, and the process ends with 1 instead of a signal.
fn report_panic(info: &panic::PanicHookInfo<'_>) {
    let text = info.to_string().replace('\n', " ");
    // Not through std's locks: the panic may have come from under one.
    if !WRITTEN.swap(true, Ordering::Relaxed) {
        let error = Error::new(Code::Internal, "internal error").with_details(&*text);
        let _ = nix::unistd::write(io::stdout().as_fd(), error.to_json(SpecVersion::NEWEST).as_bytes());
    }
    let _ = nix::unistd::write(io::stderr().as_fd(), format!("{text}\n").as_bytes());
    #[expect(clippy::exit, reason = "a panicking plugin has nothing left to unwind for: the kernel frees the lock")]
    std::process::exit(1);
}

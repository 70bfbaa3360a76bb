//! A running command: its output so far, and its end.

use std::io::Read;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Output;
use crate::lab::{Error, Place, eventually, patient, until};

/// A command that runs. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Running {
    command: String,
    place: Place,
    child: Child,
    stdout: Capture,
    stderr: Capture,
    started: Instant,
}

impl Running {
    pub(super) fn new(command: String, place: Place, mut child: Child, started: Instant) -> Self {
        let stdout = Capture::start(child.stdout.take());
        let stderr = Capture::start(child.stderr.take());
        Self { command, place, child, stdout, stderr, started }
    }

    /// Its process id inside the lab.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits until it has written the text `enough` to stdout or stderr.
    ///
    /// # Errors
    /// [`Error::Never`] with all that it wrote.
    pub fn prints(&mut self, enough: &str, deadline: Duration) -> Result<(), Error> {
        let fact = format!("{} in {} prints {enough:?}", self.command, self.place.name());
        eventually(deadline, &fact, || {
            let said = format!("stdout: {}\nstderr: {}", self.stdout(), self.stderr());
            if said.contains(enough) { Ok(()) } else { Err(said) }
        })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        killpg(self.group(), signal).map_err(Error::system(format!("signal {}", self.command)))
    }

    /// Sends SIGTERM and waits for its end.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub fn stop(self, deadline: Duration) -> Result<Output, Error> {
        self.signal(Signal::SIGTERM)?;
        self.wait(deadline)
    }

    /// Waits for its end; past the deadline it is killed.
    ///
    /// # Errors
    /// [`Error::Command`] when it had to be killed.
    pub fn wait(mut self, deadline: Duration) -> Result<Output, Error> {
        let until = until(deadline);
        let mut pause = Duration::from_micros(200);
        let status = loop {
            let failed = Error::system(format!("wait for {}", self.command));
            match self.child.try_wait().map_err(failed)? {
                Some(status) => break Some(status),
                None if Instant::now() > until => break None,
                None => thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        let took = self.started.elapsed();
        if status.is_none() {
            killpg(self.group(), Signal::SIGKILL).ok();
        }
        // A process that it left behind may hold the pipes open: the output so far is enough then. On a busy machine
        // reading all output takes some time.
        let rest = patient(Duration::from_secs(10));
        let (stdout, stderr) = (self.stdout.to_the_end(rest), self.stderr.to_the_end(rest));
        let output = Output { command: self.command.clone(), place: self.place.clone(), status, stdout, stderr, took };
        match status {
            Some(_) => Ok(output),
            None => Err(output.but(&format!("it should have ended within {:?}", patient(deadline)))),
        }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            killpg(self.group(), Signal::SIGKILL).ok();
            self.child.wait().ok();
        }
    }
}

/// The output of a pipe, read by a thread of its own.
#[derive(Debug, Clone)]
struct Capture(Arc<(Mutex<Captured>, Condvar)>);

#[derive(Debug, Default)]
struct Captured {
    bytes: Vec<u8>,
    ended: bool,
}

impl Capture {
    fn start(pipe: Option<impl Read + Send + 'static>) -> Self {
        let capture = Self(Arc::default());
        let said = capture.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut pipe = pipe;
            while let Some(count) =
                pipe.as_mut().and_then(|pipe| pipe.read(&mut buffer).ok()).filter(|count| *count > 0)
            {
                said.lock().bytes.extend_from_slice(&buffer[..count]);
            }
            said.lock().ended = true;
            said.0.1.notify_all();
        });
        capture
    }

    fn lock(&self) -> MutexGuard<'_, Captured> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    fn to_the_end(&self, deadline: Duration) -> String {
        drop(self.0.1.wait_timeout_while(self.lock(), deadline, |said| !said.ended));
        self.so_far()
    }
}

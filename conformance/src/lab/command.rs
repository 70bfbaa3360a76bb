//! A command in a place of the lab: always with a deadline, and with a full report when it fails.

mod running;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use running::Running;

use super::{Error, Place, Snapshot};

/// The default deadline of a command.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A command to be run in a place of the lab.
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until it is run"]
pub struct Command {
    place: Place,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    deadline: Duration,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, its environment first.
    pub command: String,
    /// Where it ran.
    pub place: Place,
    /// Its exit status; none when it was killed at its deadline.
    pub status: Option<ExitStatus>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// From its start to its end.
    pub took: Duration,
}

impl Command {
    /// Runs `program` at `place`.
    pub fn new(place: Place, program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref().to_owned();
        Self { place, program, arguments: Vec::new(), environment: Vec::new(), stdin: Vec::new(), deadline: DEADLINE }
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable, in place of an earlier one.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(known, _)| known != name.as_ref());
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Removes an environment variable that was set with [`Command::env`].
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Has another program run it: the command becomes that program's last arguments.
    pub fn under<S: AsRef<OsStr>>(mut self, program: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        let own = std::mem::replace(&mut self.program, program.into());
        let before = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).chain([own]);
        self.arguments.splice(0..0, before.collect::<Vec<_>>());
        self
    }

    /// What it reads from stdin; by default nothing.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// What it is given to read.
    #[must_use]
    pub fn stdin_bytes(&self) -> &[u8] {
        &self.stdin
    }

    /// How long it may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end, whether it succeeds or fails.
    ///
    /// # Errors
    /// When it cannot be started, or is still running at its deadline.
    pub fn run(self) -> Result<Output, Error> {
        let deadline = self.deadline;
        self.spawn()?.wait(deadline)
    }

    /// Runs it; it must succeed. Returns its stdout.
    ///
    /// # Errors
    /// As [`Command::run`], and when it fails.
    pub fn succeeds(self) -> Result<String, Error> {
        let output = self.run()?;
        match output.status.is_some_and(|status| status.success()) {
            true => Ok(output.stdout),
            false => Err(output.but("it should have succeeded")),
        }
    }

    /// Runs it; it must fail.
    ///
    /// # Errors
    /// As [`Command::run`], and when it succeeds.
    pub fn fails(self) -> Result<Output, Error> {
        let output = self.run()?;
        match output.status.is_some_and(|status| status.success()) {
            true => Err(output.but("it should have failed")),
            false => Ok(output),
        }
    }

    /// Starts it and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(self) -> Result<Running, Error> {
        let command = self.to_string();
        let started = Instant::now();
        let mut child = self
            .place
            .enter(|| {
                std::process::Command::new(&self.program)
                    .args(&self.arguments)
                    .envs(self.environment.iter().map(|(name, value)| (name, value)))
                    .stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .process_group(0)
                    .spawn()
            })?
            .map_err(Error::system(format!("start {command} in {}", self.place.name())))?;
        if let Some(mut pipe) = child.stdin.take() {
            let bytes = self.stdin;
            // A reader that ends early closes the pipe; its exit status shows why.
            thread::spawn(move || pipe.write_all(&bytes).ok());
        }
        Ok(Running::new(command, self.place, child, started))
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{}={:?} ", name.display(), value.display().to_string())?;
        }
        write!(f, "{}", self.program.display())?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", argument.display()))?;
        if !self.stdin.is_empty() {
            write!(f, " <<< '{}'", String::from_utf8_lossy(&self.stdin))?;
        }
        Ok(())
    }
}

impl Output {
    /// Whether it succeeded.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The error for an expectation that was not met.
    #[must_use]
    pub fn but(self, expected: &str) -> Error {
        Error::Command { expected: expected.to_owned(), output: Box::new(self) }
    }

    /// Everything that explains it: command, place, status, output, and the links and routes around it.
    #[must_use]
    pub fn report(&self) -> String {
        let mut report = String::new();
        let status = self.status.map_or_else(|| "killed at its deadline".to_owned(), |status| status.to_string());
        let state = Snapshot::of(&self.place).map_or_else(|error| error.to_string(), |state| state.to_string());
        for (title, text) in [
            ("command", self.command.as_str()),
            ("in", self.place.name()),
            ("status", &status),
            ("stdout", &self.stdout),
            ("stderr", &self.stderr),
            ("network", &state),
        ] {
            let text = text.trim_end().replace('\n', "\n           ");
            writeln!(report, "  {title:<8} {text}").ok();
        }
        report
    }
}

//! Runs the operator's kubectl: with a time limit, a bounded answer, and no standard input of a person. This is the one
//! file that starts a program; what the programs say is judged elsewhere.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The longest answer, in bytes: the verdicts of a node in a cluster of 15,000 nodes are some 10 MB.
const LONGEST: u64 = 256 << 20;

/// Between two looks at whether a program that closed its output has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// The operator's kubectl.
#[derive(Clone, Debug)]
pub(crate) struct Kubectl {
    /// The program.
    pub(crate) program: OsString,
    /// What leads it to the cluster: `--context NAME` and the others, before each call's own arguments.
    pub(crate) global: Vec<String>,
}

/// What a call of kubectl printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its exit code; `None` where a signal ended it. Of `exec` that of the command in the container, or 1.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// Why a call said nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such program, or it cannot be started.
    #[error("failed to start {program}: {source} (is kubectl installed? --kubectl names another program)")]
    Start {
        /// The program.
        program: String,
        /// The system's error.
        source: io::Error,
    },
    /// It did not end in time, and was ended.
    #[error("no answer within {} (--timeout)", humantime::format_duration(*.0))]
    Time(Duration),
    /// Its answer is too long.
    #[error("its answer is longer than {} MB", LONGEST >> 20)]
    Long,
    /// It could not be read or waited for.
    #[error("failed to read kubectl's answer: {0}")]
    Read(io::Error),
}

impl Kubectl {
    /// Runs it with these arguments to its end.
    pub(crate) fn run(&self, arguments: &[&str], stdin: &[u8], limit: Duration) -> Result<Said, Error> {
        let until = Instant::now() + limit;
        let mut child = Command::new(&self.program)
            .args(&self.global)
            .args(arguments)
            .stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Start { program: self.program.to_string_lossy().into_owned(), source })?;
        if let Some(mut pipe) = child.stdin.take() {
            let bytes = stdin.to_vec();
            // A program that ends early closes the pipe; its exit code shows why.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        let (stdout, stderr) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
        let said = ended(&mut child, &stdout, &stderr, until);
        if said.is_err() {
            // What it started may live on and hold the pipes: nothing waits for those.
            let _ = child.kill();
            let _ = child.wait();
        }
        said.map_err(|error| match error {
            Error::Time(_) => Error::Time(limit),
            other => other,
        })
    }
}

type Whole = Receiver<io::Result<Vec<u8>>>;

/// Reads a pipe in a thread of its own, to its end.
fn all_of(pipe: Option<impl Read + Send + 'static>) -> Whole {
    let (to, whole) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.map_or(Ok(0), |pipe| pipe.take(LONGEST + 1).read_to_end(&mut bytes));
        // Nobody listens past the time limit.
        let _ = to.send(read.map(|_| bytes));
    });
    whole
}

fn ended(child: &mut Child, stdout: &Whole, stderr: &Whole, until: Instant) -> Result<Said, Error> {
    let left = || until.saturating_duration_since(Instant::now());
    let whole = |pipe: &Whole| match pipe.recv_timeout(left()) {
        Ok(Ok(bytes)) if bytes.len() as u64 > LONGEST => Err(Error::Long),
        Ok(read) => read.map_err(Error::Read),
        Err(_) => Err(Error::Time(Duration::ZERO)),
    };
    let (stdout, stderr) = (whole(stdout)?, whole(stderr)?);
    let status: ExitStatus = loop {
        match child.try_wait().map_err(Error::Read)? {
            Some(status) => break status,
            None if left().is_zero() => return Err(Error::Time(Duration::ZERO)),
            None => thread::sleep(PAUSE),
        }
    };
    Ok(Said { code: status.code(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, stdin: &[u8], limit: Duration) -> Result<Said, Error> {
        Kubectl { program: "sh".into(), global: vec!["-c".into()] }.run(&[script], stdin, limit)
    }

    const LONG: Duration = Duration::from_secs(300);

    #[test]
    fn what_it_printed_and_how_it_ended_are_returned() {
        let said = shell("cat; echo no >&2; exit 3", b"yes", LONG).unwrap();
        assert_eq!(said, Said { code: Some(3), stdout: b"yes".to_vec(), stderr: "no\n".into() });
    }

    #[test]
    fn more_than_a_pipe_holds_is_read_whole() {
        assert_eq!(shell("head -c 3000000 /dev/zero", b"", LONG).unwrap().stdout.len(), 3_000_000);
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_at_its_limit_even_where_a_child_of_it_holds_the_pipe() {
        for script in ["exec sleep 1000", "sleep 30 & exec sleep 1000", "exec >&- 2>&-; exec sleep 1000"] {
            let began = Instant::now();
            let error = shell(script, b"", Duration::from_millis(200)).unwrap_err();
            assert!(matches!(error, Error::Time(limit) if limit.as_millis() == 200), "{error}");
            assert!(began.elapsed() < Duration::from_secs(25), "{script}: it waited for the child");
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let missing = Kubectl { program: "/nowhere/kubectl".into(), global: Vec::new() };
        let error = missing.run(&["get", "nodes"], b"", LONG).unwrap_err().to_string();
        assert!(error.contains("/nowhere/kubectl") && error.contains("--kubectl"), "{error}");
    }
}

//! The errors of the lab. `Debug` prints the full report, so that a failed test shows it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::Output;

/// A lab that could not be made, or a command in it that did not end as expected.
#[derive(thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{doing}: {source}")]
    System {
        /// What was being done, and where.
        doing: String,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{doing}: {errno}")]
    Kernel {
        /// What was requested, and where.
        doing: String,
        /// The kernel's error.
        errno: Errno,
    },
    /// A program of the project was not built.
    #[error("no {program} in {}: build it by `cargo build`, or name its folder in PODLAN_BIN_DIR", .looked.display())]
    NotBuilt {
        /// The program.
        program: String,
        /// Where it was expected.
        looked: PathBuf,
    },
    /// A command ended otherwise than expected.
    #[error("{expected}\n{}", .output.report())]
    Command {
        /// What the caller expected.
        expected: String,
        /// How it ended, and the state of the network around it.
        output: Box<Output>,
    },
    /// A fact did not become true in time.
    #[error("not within {deadline:?}: {fact}\n{seen}")]
    Never {
        /// The fact.
        fact: String,
        /// How long it was waited for.
        deadline: Duration,
        /// The state that was there instead.
        seen: String,
    },
    /// The output of a program cannot be parsed.
    #[error("{from} said what cannot be read: {said}")]
    Unreadable {
        /// The program.
        from: String,
        /// Its output.
        said: String,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// For `map_err`: the system call that failed, by what was being done.
    pub fn system<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        |source| Self::System { doing: doing.into(), source: source.into() }
    }
}

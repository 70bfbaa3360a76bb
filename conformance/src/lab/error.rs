//! What can go wrong in the lab. `Debug` prints the whole story, so that a failed test tells it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::Output;

/// A lab that could not be made, or a command in it that ended otherwise than it should.
#[derive(thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{doing}: {source}")]
    System {
        /// What was being done, and where.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel refused a netlink request.
    #[error("{doing}: {errno}")]
    Kernel {
        /// What was asked for, and where.
        doing: String,
        /// The kernel's answer.
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
    #[error("{expected}\n{}", .output.story())]
    Command {
        /// What the caller expected.
        expected: String,
        /// How it ended, and the state of the network around it.
        output: Box<Output>,
    },
    /// A fact did not come true in time.
    #[error("not within {deadline:?}: {fact}\n{seen}")]
    Never {
        /// The fact.
        fact: String,
        /// How long it was waited for.
        deadline: Duration,
        /// What was there instead.
        seen: String,
    },
    /// A program said something that cannot be read.
    #[error("{from} said what cannot be read: {said}")]
    Unreadable {
        /// Who.
        from: String,
        /// What.
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

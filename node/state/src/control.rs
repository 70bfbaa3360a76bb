//! An operator's commands to the running agent: one line over a socket in the run directory, one line back. This is the
//! operator's side; the agent serves them. Who can enter the directory can command the agent.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::State;

/// How long either side waits for the other.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The commands of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Apply the held withdrawal.
    Release,
    /// Compare everything again and correct what differs.
    Look,
    /// Return the state that `node.json` would hold if it were written now.
    State,
    /// Return the last lines of the log, as a list of texts in JSON.
    Log,
    /// Return the metrics, as a text in JSON.
    Metrics,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 5] = [Self::Release, Self::Look, Self::State, Self::Log, Self::Metrics];

    /// The command's line on the socket.
    pub fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Look => "look",
            Self::State => "state",
            Self::Log => "log",
            Self::Metrics => "metrics",
        }
    }
}

/// The present state of the agent that serves `socket`.
pub fn state(socket: &Path) -> io::Result<State> {
    Ok(serde_json::from_str(&command(socket, Command::State)?)?)
}

/// Sends a command to the agent that runs on `socket` and returns its answer.
pub fn command(socket: &Path, command: Command) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", command.word()).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

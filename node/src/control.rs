//! An operator's commands to the running agent: one line over a socket in the run directory, one line back. Who can
//! enter the directory can command the agent.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream as Client;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an operator may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Let the held withdrawal go.
    Release,
    /// Look at everything again and put right what is not.
    Look,
}

impl Command {
    const ALL: [Self; 2] = [Self::Release, Self::Look];

    fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Look => "look",
        }
    }
}

/// A command and where its answer goes.
pub(crate) type Order = (Command, oneshot::Sender<String>);

/// Takes commands until nobody listens any more.
pub(crate) async fn serve(listener: UnixListener, orders: mpsc::Sender<Order>) {
    while let Ok((stream, _)) = listener.accept().await {
        // One at a time: an operator has two hands. A client that says nothing is dropped.
        let _ = tokio::time::timeout(PATIENCE, answer(stream, &orders)).await;
        if orders.is_closed() {
            return;
        }
    }
}

/// Opens the socket, in place of one that a former agent left. The run directory's lock says that it is gone.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

async fn answer(mut stream: UnixStream, orders: &mpsc::Sender<Order>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(tokio::io::AsyncReadExt::take(reader, 64));
    reader.read_line(&mut line).await?;
    let answer = match Command::ALL.into_iter().find(|command| line.trim() == command.word()) {
        Some(command) => {
            let (reply, answer) = oneshot::channel();
            match orders.send((command, reply)).await {
                Ok(()) => answer.await.unwrap_or_default(),
                Err(_) => return Ok(()),
            }
        }
        None => "unknown command".to_owned(),
    };
    writer.write_all(format!("{answer}\n").as_bytes()).await
}

/// Sends a command to the agent that runs on `socket` and returns its answer.
pub(crate) fn command(socket: &Path, command: Command) -> io::Result<String> {
    let mut stream = Client::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", command.word()).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

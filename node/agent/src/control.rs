//! An operator's commands to the running agent: one line over a socket in the run directory, one line back. Who can
//! enter the directory can command the agent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::log::Recent;
use crate::metrics::Metrics;
use parts::Activity;
use parts::Spare;
use state::State;
use state::control::{Command, PATIENCE};

/// The delay after a failed accept.
const BUSY: Duration = Duration::from_millis(100);

/// A command and where its answer goes.
pub(crate) type Order = (Command, oneshot::Sender<String>);

/// What is needed to serve commands.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) orders: mpsc::Sender<Order>,
    /// The agent's state: it is returned whatever the loop does.
    pub(crate) state: watch::Receiver<State>,
    pub(crate) metrics: Arc<Metrics>,
    /// The last lines of the log.
    pub(crate) recent: Recent,
    /// The spare descriptor for accepting clients.
    pub(crate) spare: Arc<Mutex<Spare>>,
}

/// Serves commands until their receiver is dropped. Clients are served one at a time; one that sends nothing is
/// dropped.
pub(crate) async fn keep(path: PathBuf, served: Served, activity: Activity) -> String {
    let begun = activity.begin(format!("listen on {}", path.display()));
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(error) => return format!("listen on {}: {error}", path.display()),
    };
    drop(begun);
    while !served.orders.is_closed() {
        let accepted = listener.accept().await;
        let is_out = |error: &io::Error| served.spare().give_up(error);
        match accepted {
            Ok((stream, _)) => drop(timeout(PATIENCE, answer(stream, &served)).await),
            Err(error) if is_out(&error) => {
                if let Ok(Ok((stream, _))) = timeout(BUSY, listener.accept()).await {
                    drop(timeout(PATIENCE, answer(stream, &served)).await);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a client was not served");
                tokio::time::sleep(BUSY).await;
            }
        }
        served.spare().refill();
    }
    "the agent's loop takes no more commands".to_owned()
}

impl Served {
    /// Locked for the length of a call only.
    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the socket, replacing one that an earlier agent left. The run directory's lock proves that that agent has
/// ended.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

async fn answer(mut stream: UnixStream, served: &Served) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(tokio::io::AsyncReadExt::take(reader, 64));
    reader.read_line(&mut line).await?;
    // A truncated line, by the limit or by the client, is refused: it may be the prefix of something else.
    let word = line.strip_suffix('\n').map(str::trim);
    let answer = match Command::ALL.into_iter().find(|command| word == Some(command.word())) {
        Some(Command::State) => serde_json::to_string(&*served.state.borrow())?,
        Some(Command::Log) => serde_json::to_string(&served.recent.lines())?,
        Some(Command::Metrics) => serde_json::to_string(&served.metrics.text())?,
        Some(command) => {
            let (reply, answer) = oneshot::channel();
            match served.orders.send((command, reply)).await {
                Ok(()) => answer.await.unwrap_or_default(),
                Err(_) => return Ok(()),
            }
        }
        None => "unknown command".to_owned(),
    };
    writer.write_all(format!("{answer}\n").as_bytes()).await
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Client;

    use super::*;

    /// Any bytes from a process that may enter the directory get one line, and no command is carried out that was not sent.
    #[test]
    fn fuzz_any_command_gets_one_line() {
        fuzz::run("control", |said| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (mut client, server) = Client::pair().unwrap();
            server.set_nonblocking(true).unwrap();
            // What the agent has not read when it closes is lost to both.
            let said = &said[..said.len().min(4096)];
            client.write_all(said).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let asked = runtime.block_on(async {
                let (orders, mut received) = mpsc::channel::<Order>(1);
                let (_state, state) = watch::channel(State::starting("n1", "file x"));
                let served = Served {
                    orders,
                    state,
                    metrics: Arc::new(Metrics::new()),
                    recent: Recent::default(),
                    spare: Arc::new(Mutex::new(Spare::default())),
                };
                let agent = async {
                    let (command, reply) = received.recv().await?;
                    reply.send("done".into()).ok().map(|()| command)
                };
                let serve = async {
                    let _ = answer(UnixStream::from_std(server).unwrap(), &served).await;
                    drop(served);
                };
                tokio::join!(agent, serve).0
            });
            let mut answer = String::new();
            // A client that said more than is read may be cut off.
            if client.read_to_string(&mut answer).is_ok() {
                assert!(answer.matches('\n').count() <= 1, "{answer:?}");
            }
            assert_eq!(answer == "done\n", asked.is_some() && !answer.is_empty());
            let line = String::from_utf8_lossy(said.split(|byte| *byte == b'\n').next().unwrap_or_default());
            assert!(asked.is_none_or(|command| line.trim() == command.word()), "{asked:?} was not said: {line:?}");
        });
    }
}

//! An API server made from a recording of the real one: it answers in the recorded order, and only the recorded
//! requests.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Error, Node, eventually};

use super::relay::{begin, chunk, end, next_request};

/// Longer than the agent waits before its next attempt.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that lives as long as the lab.
pub(super) struct Replay {
    address: SocketAddr,
    script: Arc<Script>,
}

#[derive(Default)]
struct Script {
    reading: Mutex<Reading>,
    moved: Condvar,
}

#[derive(Default)]
struct Reading {
    lines: Vec<String>,
    /// The next line.
    at: usize,
    /// An answer is being sent.
    answering: bool,
    /// The connection has just ended: the server was away for a while, whatever it sent next.
    away: bool,
    /// The requests that are not in the recording.
    unexpected: Vec<String>,
}

impl Reading {
    fn due(&self) -> &str {
        self.lines.get(self.at).map_or("", String::as_str)
    }

    /// Whether `asked` is the next request of the recording; then its answer begins.
    fn takes(&mut self, asked: &str) -> bool {
        if std::mem::take(&mut self.away) {
            return false;
        }
        let due = self.due();
        // At a step, and at the end, the server is away or sends no more.
        let Some(expected) = due.strip_prefix("> ").filter(|_| !self.answering) else { return false };
        if expected != asked {
            let expected = expected.to_owned();
            self.unexpected.push(format!("requested {asked}\n  recorded {expected}"));
            return false;
        }
        self.answering = true;
        self.at += 1;
        true
    }
}

impl Script {
    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replay {
    /// Listens on the loopback of `node`.
    pub(super) fn start(node: &Node, path: &Path) -> Result<Self, Error> {
        let failed = |doing: String| move |source| Error::System { doing, source };
        let text = std::fs::read_to_string(path).map_err(failed(format!("read {}", path.display())))?;
        let lines = text.lines().map(str::to_owned).collect();
        let script =
            Arc::new(Script { reading: Mutex::new(Reading { lines, ..Reading::default() }), ..Script::default() });
        let shared = Arc::clone(&script);
        let listening = node.place().enter(|| -> std::io::Result<SocketAddr> {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let address = listener.local_addr()?;
            thread::spawn(move || {
                for agent in listener.incoming().flatten() {
                    let script = Arc::clone(&shared);
                    thread::spawn(move || {
                        serve(agent, &script).unwrap_or_default();
                        script.moved.notify_all();
                    });
                }
            });
            Ok(address)
        })?;
        Ok(Self { address: listening.map_err(failed("start the API server".into()))?, script })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs the operator's `step`, which must be next in the recording. The agent has made all requests before it.
    pub(super) fn go_on(&self, step: &str) -> Result<(), Error> {
        eventually(PATIENCE, &format!("the record is at {step:?}"), || {
            let mut reading = self.script.lock();
            if reading.due().strip_prefix("! ") != Some(step) {
                return Err(format!("it is at {:?}\n{}", reading.due(), reading.unexpected.join("\n")));
            }
            reading.at += 1;
            Ok(())
        })?;
        self.script.moved.notify_all();
        Ok(())
    }

    /// The agent has made all recorded requests, and no others.
    pub(super) fn is_complete(&self) -> Result<(), Error> {
        eventually(PATIENCE, "the whole recording was requested", || {
            let reading = self.script.lock();
            match reading.due() {
                "" if reading.unexpected.is_empty() => Ok(()),
                due => Err(format!("it is at {due:?}\n{}", reading.unexpected.join("\n"))),
            }
        })
    }
}

fn serve(mut agent: TcpStream, script: &Script) -> std::io::Result<()> {
    let mut reader = BufReader::new(agent.try_clone()?);
    while let Some(asked) = next_request(&mut reader)? {
        if !script.lock().takes(&asked) {
            return Ok(());
        }
        let whole = answer(&mut agent, script);
        script.lock().answering = false;
        if !whole? {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends the next answer; false where the recorded connection ended.
fn answer(agent: &mut TcpStream, script: &Script) -> std::io::Result<bool> {
    loop {
        let mut reading = script.lock();
        // Waits for the operator's action, and for what was not recorded: the scenario's end.
        while reading.due().starts_with("! ") || reading.due().is_empty() {
            reading = script.moved.wait(reading).unwrap_or_else(PoisonError::into_inner);
        }
        let line = reading.due().to_owned();
        let (mark, text) = line.split_at(line.len().min(2));
        match (mark, text) {
            // The agent gave this answer up for another.
            ("> ", _) => return Ok(false),
            ("< ", status) => begin(agent, status)?,
            ("= ", "end") => end(agent)?,
            ("= ", _) => {}
            _ => chunk(agent, &line)?,
        }
        reading.at += 1;
        if mark == "= " {
            reading.away = text != "end";
            return Ok(text == "end");
        }
    }
}

//! Nodes from a file, or from a directory of files: lists of Nodes or Nodes in JSON or YAML, as `kubectl get nodes` writes
//! them.
//!
//! In a directory a file that cannot be read is that file's fault alone: its last good content stays in force, and the others count.
//! Where it never said anything the list is partial, and no node is gone by it.

pub mod machine;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, mpsc};

use self::machine::{Action, Event, Machine};
use super::collector::{Nodes, Problem};
use super::text::{self, Metered};
use super::watch::Watch;
use super::{Error, Report, json, yaml};
use files::regular::FileStamp;
use nodes::{Node, Snapshot};
use parts::{Activity, at};

/// Reads `path` now, after each change of it, each `resync`, and whenever `refresh` asks. Ends when nobody listens.
/// The machine decides; this is its shell, which waits, watches and reads.
pub async fn run(
    path: PathBuf,
    reports: mpsc::Sender<Report>,
    refresh: Arc<Notify>,
    resync: Duration,
    activity: Activity,
) {
    let mut machine = Machine::new(resync, Instant::now());
    let (mut memory, mut watch) = (Memory::default(), None);
    loop {
        let event = tokio::select! {
            () = reports.closed() => return,
            () = refresh.notified() => Event::Refresh,
            gone = noticed(watch.as_mut()) => Event::Noticed { gone },
            () = at(machine.due()) => Event::Tick,
        };
        let mut results = VecDeque::from([event]);
        while let Some(event) = results.pop_front() {
            for action in machine.on(event, Instant::now()) {
                match action {
                    Action::Watch { only_if_moved } => {
                        let _begun = activity.begin(format!("look where {} lies", path.display()));
                        if !only_if_moved || watch.as_ref().is_none_or(Watch::is_elsewhere) {
                            watch = open_watch(&path);
                        }
                        results.push_back(Event::Watched(watch.is_some()));
                    }
                    Action::Read { number, asked } => {
                        let _begun = activity.begin(format!("read {}", path.display()));
                        let report = read(&path, &mut memory, Instant::now(), asked);
                        results.push_back(Event::Read { number, report, unread: memory.unread });
                    }
                    Action::Publish(report) => {
                        if reports.send(report).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}

fn open_watch(path: &Path) -> Option<Watch> {
    let failed = |error: &io::Error| {
        tracing::debug!(path = %path.display(), %error, "not watched; looked at each second");
    };
    Watch::open(path).inspect_err(failed).ok()
}

async fn noticed(watch: Option<&mut Watch>) -> bool {
    match watch {
        Some(watch) => watch.noticed().await,
        None => std::future::pending().await,
    }
}

/// What was read so far: a file that has not changed is not read again.
#[derive(Debug, Default)]
pub struct Memory {
    /// The files of a directory.
    files: BTreeMap<PathBuf, Known>,
    /// What was read last of a single file, good or bad. What it said is not kept a second time.
    single: Option<FileStamp>,
    /// Why there was no list at the last look.
    failed: Option<String>,
    /// Whether something could not be read at the last look, whatever it says.
    unread: bool,
}

/// What is known of one file of a directory.
#[derive(Debug, Default)]
struct Known {
    /// Of what was read last, good or bad; none where it must be read again.
    stamp: Option<FileStamp>,
    /// What it said last that was good.
    nodes: Option<Vec<Node>>,
    fault: Option<String>,
}

/// What is new of `path`, as a whole; `None` where there is nothing new, unless it is `asked` for.
pub fn read(path: &Path, memory: &mut Memory, now: Instant, asked: bool) -> Option<Report> {
    let failed = |source| Error::Read { path: path.display().to_string(), source };
    memory.unread = false;
    let report = match fs::metadata(path) {
        Err(source) => Some(Err(failed(source))),
        Ok(metadata) if metadata.is_dir() => match list(path) {
            Err(source) => Some(Err(failed(source))),
            // None is no list, as an empty file is none: without it nothing would be left of a directory that is not mounted.
            Ok(files) if files.is_empty() => Some(Err(failed(io::Error::other("it holds no file of nodes")))),
            Ok(files) => memory.directory(&files, now, asked).map(Ok),
        },
        Ok(metadata) => memory.file(path, FileStamp::of(&metadata), now, asked),
    };
    match &report {
        Some(Err(error)) => {
            memory.unread |= matches!(error, Error::Read { .. });
            let said = Some(error.to_string());
            let known = memory.failed == said;
            memory.failed = said;
            report.filter(|_| asked || !known)
        }
        Some(Ok(_)) => {
            memory.failed = None;
            report
        }
        None => None,
    }
}

impl Memory {
    /// A single file.
    fn file(&mut self, path: &Path, stamp: FileStamp, now: Instant, asked: bool) -> Option<Report> {
        self.files.clear();
        if !asked && self.single == Some(stamp) {
            return None;
        }
        let (stamp, read) = read_file(path, None);
        self.single = stamp.filter(|stamp| stamp.is_settled(SystemTime::now()));
        Some(read.map(|nodes| Snapshot::new(nodes, now)))
    }

    /// A directory of these files.
    fn directory(&mut self, files: &[PathBuf], now: Instant, asked: bool) -> Option<Snapshot> {
        self.single = None;
        let before = self.files.len();
        self.files.retain(|known, _| files.contains(known));
        let mut changed = self.files.len() != before || self.failed.is_some();
        for file in files {
            changed |= self.files.entry(file.clone()).or_default().look(file, &mut self.unread);
        }
        (changed || asked).then(|| self.together(now))
    }

    /// What all files say.
    fn together(&self, now: Instant) -> Snapshot {
        let nodes = self.files.values().flat_map(|known| known.nodes.iter().flatten().cloned()).collect();
        let fault = |known: &Known| {
            let stands = if known.nodes.is_some() {
                "its last good content stays in force"
            } else {
                "until then no node counts as removed"
            };
            known.fault.as_ref().map(|fault| format!("{fault}; {stands}"))
        };
        let mut snapshot = Snapshot::new(nodes, now);
        snapshot.faults = self.files.values().filter_map(fault).collect();
        snapshot.partial = self.files.values().any(|known| known.nodes.is_none());
        snapshot
    }
}

impl Known {
    /// Reads the file, unless it is as it was; true when it says something else than before.
    fn look(&mut self, path: &Path, unread: &mut bool) -> bool {
        let stamp = fs::metadata(path).map(|metadata| FileStamp::of(&metadata));
        if self.stamp.is_some() && self.stamp == stamp.ok() {
            return false;
        }
        let (stamp, read) = read_file(path, path.file_name().map(|name| name.to_string_lossy().into_owned()));
        self.stamp = stamp.filter(|stamp| stamp.is_settled(SystemTime::now()));
        match read {
            Ok(nodes) => {
                let changed = self.fault.take().is_some() || self.nodes.as_ref() != Some(&nodes);
                self.nodes = Some(nodes);
                changed
            }
            Err(error) => {
                *unread |= matches!(error, Error::Read { .. });
                let fault = Some(error.to_string());
                let changed = self.fault != fault;
                self.fault = fault;
                changed
            }
        }
    }
}

/// The files of a directory that hold nodes.
pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| is_nodes_file(file));
    files.sort_unstable();
    Ok(files)
}

/// A visible `.json`, `.yaml` or `.yml`: an editor's or a ConfigMap's own files start with a dot.
fn is_nodes_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path.extension().is_some_and(|ext| ["json", "yaml", "yml"].iter().any(|known| ext == *known));
    !hidden && known
}

/// The nodes of a file, and the stamp of what was read. `file` is its name where it is one of several.
fn read_file(path: &Path, file: Option<String>) -> (Option<FileStamp>, Result<Vec<Node>, Error>) {
    let shown = || path.display().to_string();
    let failed = |source| Error::Read { path: shown(), source };
    let (open, text) = match text::open(path) {
        Ok(opened) => opened,
        Err(source) => return (None, Err(failed(source))),
    };
    let before = open.stamp();
    let read = parse(text, file);
    let (before, after) = match (before, open.stamp()) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(source), _) | (_, Err(source)) => return (None, Err(failed(source))),
    };
    if before != after {
        return (None, Err(failed(io::Error::other("it changed while it was read"))));
    }
    (Some(after), read.map_err(|(line, problem)| Error::Malformed { path: shown(), line, problem }))
}

/// The nodes of a text, JSON or YAML; else the line and what is wrong there.
pub fn nodes_of(text: &[u8]) -> Result<Vec<Node>, (u64, String)> {
    parse(Metered::new(text), None)
}

/// The nodes of a text.
fn parse(mut text: Metered<impl BufRead>, file: Option<String>) -> Result<Vec<Node>, Problem> {
    let mut nodes = Nodes::of(file);
    let first = text.first().map_err(|error| (text.meter().line(), error.to_string()))?;
    if first == Some(b'{') { json::read(text, &mut nodes) } else { yaml::read(text, &mut nodes) }?;
    nodes.finish()
}

#[cfg(test)]
mod tests;

//! Nodes from a file, or from a directory of files: lists of Nodes or Nodes in JSON or YAML, as `kubectl get nodes` writes
//! them.
//!
//! In a directory a file that cannot be read is that file's fault alone: what it said last stands, and the others count.
//! Where it never said anything the list is partial, and no node is gone by it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;

use super::nodes::{Nodes, Problem};
use super::text::{self, Metered};
use super::watch::Watch;
use super::{Error, Node, Report, Snapshot, json, yaml};
use crate::regular::Stamp;
use crate::state::unix_now;

/// How long the directory must be quiet before it is read: an editor makes several changes of one save.
const SETTLE: Duration = Duration::from_millis(10);

/// How often a directory that cannot be watched, or a file that could not be read, is looked at.
const BLIND: Duration = Duration::from_secs(1);

/// Reads `path` now, after each change of it, each `resync`, and whenever `refresh` asks. Ends when nobody listens.
pub(crate) async fn run(path: PathBuf, reports: mpsc::Sender<Report>, refresh: Arc<Notify>, resync: Duration) {
    let mut memory = Memory::default();
    let mut slow = tokio::time::interval(resync);
    slow.set_missed_tick_behavior(MissedTickBehavior::Delay);
    slow.tick().await;
    let mut asked = true;
    loop {
        // Watched before it is read, so that no change falls between.
        let mut watch = Watch::open(&path);
        loop {
            let report = read(&path, &mut memory, Instant::now());
            // No change of the file will say that the process has descriptors again, or the disk an answer.
            let unread = memory.unread || matches!(report, Err(Error::Read { .. }));
            if (memory.changed() || asked) && reports.send(report).await.is_err() {
                return;
            }
            asked = false;
            let rearm = match &mut watch {
                Ok(watch) => tokio::select! {
                    moved = watch.changed(SETTLE) => moved,
                    () = refresh.notified() => { asked = true; false }
                    _ = slow.tick() => false,
                    () = tokio::time::sleep(BLIND), if unread => false,
                    () = reports.closed() => return,
                },
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "not watched; looked at each second");
                    tokio::time::sleep(BLIND).await;
                    true
                }
            };
            if rearm {
                break;
            }
        }
    }
}

/// What was read of the files so far: a file that has not changed is not read again.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: BTreeMap<PathBuf, Known>,
    /// Whether a file could not be read at the last look, for another reason than what it says.
    unread: bool,
    /// What the last look came to where it differs in more than what is in `files`.
    failed: Option<String>,
    changed: bool,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct Known {
    /// Of what was read last, good or bad; none where it must be read again.
    stamp: Option<Stamp>,
    /// What it said last that was good.
    nodes: Option<Vec<Node>>,
    fault: Option<Error>,
}

impl Memory {
    /// Whether the last look came to something else than the one before; asked once.
    fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn failed(&mut self, error: Error) -> Report {
        let said = Some(error.to_string());
        self.changed |= self.failed != said;
        self.failed = said;
        Err(error)
    }

    /// Reads a file, unless it is as it was.
    fn look(&mut self, path: &Path, file: Option<String>) {
        let known = self.files.entry(path.to_owned()).or_default();
        let stamp = fs::metadata(path).map(|metadata| Stamp::of(&metadata));
        if known.stamp.is_some() && known.stamp == stamp.ok() {
            return;
        }
        let (stamp, read) = read_file(path, file);
        known.stamp = stamp.filter(|stamp| stamp.is_settled(unix_now()));
        match read {
            Ok(nodes) => {
                self.changed |= known.fault.is_some() || known.nodes.as_ref() != Some(&nodes);
                (known.nodes, known.fault) = (Some(nodes), None);
            }
            Err(fault) => {
                let same = known.fault.as_ref().is_some_and(|before| before.to_string() == fault.to_string());
                self.changed |= !same;
                self.unread |= matches!(fault, Error::Read { .. });
                known.fault = Some(fault);
            }
        }
    }
}

/// The whole of `path` as one snapshot.
pub(crate) fn read(path: &Path, memory: &mut Memory, now: Instant) -> Report {
    let failed = |source| Error::Read { path: path.display().to_string(), source };
    memory.unread = false;
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(source) => return memory.failed(failed(source)),
    };
    if metadata.is_dir() {
        return match list(path) {
            // None is no list, as an empty file is none: without it nothing would be left of a directory that is not mounted.
            Ok(files) if files.is_empty() => memory.failed(failed(io::Error::other("it holds no file of nodes"))),
            Ok(files) => Ok(together(&files, memory, now)),
            Err(source) => memory.failed(failed(source)),
        };
    }
    memory.files.retain(|known, _| known == path);
    memory.look(path, None);
    let known = memory.files.entry(path.to_owned()).or_default();
    match (known.fault.take(), &known.nodes) {
        (None, Some(nodes)) => {
            memory.failed = None;
            Ok(Snapshot::new(nodes.clone(), now))
        }
        (fault, _) => {
            // Read again at the next look, for its error.
            known.stamp = None;
            Err(fault.unwrap_or_else(|| failed(io::ErrorKind::NotFound.into())))
        }
    }
}

/// The snapshot of a directory.
fn together(files: &[PathBuf], memory: &mut Memory, now: Instant) -> Snapshot {
    let before = memory.files.len();
    memory.files.retain(|known, _| files.contains(known));
    memory.changed |= memory.files.len() != before || memory.failed.take().is_some();
    for file in files {
        memory.look(file, file.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    let nodes = memory.files.values().flat_map(|known| known.nodes.iter().flatten().cloned()).collect();
    let fault = |known: &Known| {
        let stands =
            if known.nodes.is_some() { "what it said last stands" } else { "no node is taken for gone meanwhile" };
        known.fault.as_ref().map(|fault| format!("{fault}; {stands}"))
    };
    let mut snapshot = Snapshot::new(nodes, now);
    snapshot.faults = memory.files.values().filter_map(fault).collect();
    snapshot.partial = memory.files.values().any(|known| known.nodes.is_none());
    snapshot
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
fn read_file(path: &Path, file: Option<String>) -> (Option<Stamp>, Result<Vec<Node>, Error>) {
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

/// The nodes of a text.
fn parse(mut text: Metered<impl BufRead>, file: Option<String>) -> Result<Vec<Node>, Problem> {
    let mut nodes = Nodes::of(file);
    let first = text.first().map_err(|error| (text.meter().line(), error.to_string()))?;
    if first == Some(b'{') { json::read(text, &mut nodes) } else { yaml::read(text, &mut nodes) }?;
    nodes.finish()
}

#[cfg(test)]
mod tests;

//! Writes what the agent publishes of itself to its run directory: `node.json`, `verdicts.json`, `kept.json`. A part of its
//! own: a directory that is full or that hangs holds up nothing else. What cannot be written is tried again until it is.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use agent_core::Written;
use parts::{Activity, Output, Slot};
use state::{RunDir, State, VerdictLine};

/// How soon it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is to be written. Large clusters have large verdicts: they are kept until they are written, and no longer.
#[derive(Clone, Default)]
pub(super) struct StateFiles {
    pub(super) state: Slot<State>,
    pub(super) verdicts: Slot<Arc<Vec<VerdictLine>>>,
    /// What the nodes have, as a list in JSON.
    pub(super) nodes: Slot<Vec<u8>>,
}

impl StateFiles {
    /// Waits until everything is written or at least begun, and at most for `longest`: what an agent that ends leaves is
    /// what the next one starts with.
    pub(super) async fn emptied(&self, longest: Duration) {
        let until = Instant::now() + longest;
        while Instant::now() < until && (self.nodes.is_full() || self.verdicts.is_full() || self.state.is_full()) {
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Writes for ever.
pub(super) async fn keep(
    run_dir: RunDir,
    state_files: StateFiles,
    output: Output<Written>,
    activity: Activity,
) -> String {
    loop {
        let unwritten = output.latest(|written| !written.failed.is_empty());
        let mut routed = output.latest(|written| written.routed);
        tokio::select! {
            () = state_files.verdicts.filled() => {}
            () = state_files.nodes.filled() => {}
            () = state_files.state.filled() => {}
            () = sleep(RETRY), if unwritten => {}
        }
        let _begun = activity.begin(format!("write to {}", run_dir.0.display()));
        let failed = [
            write(&state_files.verdicts, &run_dir.verdicts_file(), |verdicts| run_dir.write_verdicts(verdicts)),
            write(&state_files.nodes, &run_dir.kept_file(), |nodes| run_dir.write_kept(nodes)),
            write(&state_files.state, &run_dir.state_file(), |state| {
                run_dir.write_state(state)?;
                routed = state.routed;
                Ok(())
            }),
        ];
        output.set(Written { failed: failed.into_iter().flatten().collect(), routed });
    }
}

/// Writes what a slot holds; puts it back, and returns why, where that fails.
fn write<T>(slot: &Slot<T>, path: &Path, write: impl FnOnce(&T) -> io::Result<()>) -> Option<String> {
    let content = slot.take()?;
    let error = write(&content).err()?;
    slot.put_back(content);
    Some(text(path, &error))
}

fn text(path: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (is the file system full?)",
        _ => "",
    };
    format!("failed to write {}: {error}{hint}", path.display())
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn an_agent_that_ends_has_filed_what_it_knew_and_waits_no_longer_than_it_may() {
        let root = std::env::temp_dir().join(format!("podlan-node-files-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let (run_dir, files) = (RunDir(root.clone()), StateFiles::default());
        files.nodes.put(b"[]".to_vec());
        files.verdicts.put(Arc::default());
        let nobody_writes = Instant::now();
        files.emptied(Duration::from_millis(20)).await;
        assert!(nobody_writes.elapsed() >= Duration::from_millis(20) && !run_dir.kept_file().exists());
        let (output, _written) = Output::new(Written::default(), Arc::new(Notify::new()));
        tokio::select! {
            () = files.emptied(Duration::from_secs(60)) => {}
            why = keep(run_dir.clone(), files.clone(), output, Activity::default()) => panic!("{why}"),
        }
        assert!(run_dir.kept_file().exists() && run_dir.verdicts_file().exists());
        std::fs::remove_dir_all(root).unwrap();
    }
}

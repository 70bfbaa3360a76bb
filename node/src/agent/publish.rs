//! Files what the agent says of itself in its run directory: `node.json`, `verdicts.json`, `kept.json`. A part of its own:
//! a directory that is full or that hangs keeps nobody else. What cannot be filed is tried again until it is.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use super::part::{Activity, Output};
use crate::state::{RunDir, State, VerdictLine};

/// How soon it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is to be filed. Nothing of it is filed before the first turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Papers {
    pub(super) state: Option<State>,
    pub(super) verdicts: Option<Arc<Verdicts>>,
}

/// What changes with the judgement on the nodes.
#[derive(Debug)]
pub(super) struct Verdicts {
    pub(super) lines: Vec<VerdictLine>,
    /// What was last good of nodes that are malformed now.
    pub(super) kept: Value,
}

/// Files for ever; ends when nobody publishes any more. The output is what could not be filed.
pub(super) async fn keep(
    run_dir: RunDir,
    mut papers: watch::Receiver<Papers>,
    output: Output<Vec<String>>,
    activity: Activity,
) -> String {
    let mut filed: Option<Arc<Verdicts>> = None;
    papers.mark_changed();
    loop {
        let unfiled = output.latest(Vec::is_empty);
        tokio::select! {
            changed = papers.changed() => if changed.is_err() { return "nobody publishes any more".to_owned() },
            () = sleep(RETRY), if !unfiled => {}
        }
        let Papers { state, verdicts } = papers.borrow_and_update().clone();
        let begun = activity.begin(format!("write to {}", run_dir.0.display()));
        let mut failed = Vec::new();
        if let Some(verdicts) = verdicts.filter(|new| !filed.as_ref().is_some_and(|old| Arc::ptr_eq(old, new))) {
            let Verdicts { lines, kept } = &*verdicts;
            let written = note(&mut failed, &run_dir.verdicts_file(), run_dir.write_verdicts(lines))
                & note(&mut failed, &run_dir.kept_file(), run_dir.write_kept(kept));
            filed = written.then_some(verdicts);
        }
        if let Some(state) = state {
            note(&mut failed, &run_dir.state_file(), run_dir.write_state(&state));
        }
        drop(begun);
        output.set(failed);
    }
}

/// True when it was written.
fn note(failed: &mut Vec<String>, path: &Path, written: io::Result<()>) -> bool {
    failed.extend(written.as_ref().err().map(|error| {
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (is the file system full?)",
            _ => "",
        };
        format!("failed to write {}: {error}{hint}", path.display())
    }));
    written.is_ok()
}

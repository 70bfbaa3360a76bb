//! How the source stands, as the state publishes it.

use super::{Action, Now};
use nodes::Snapshot;
use state::SourceState;

/// Takes in a list of nodes.
pub(super) fn succeeded(source: &mut SourceState, snapshot: &Snapshot, now: Now, actions: &mut Vec<Action>) {
    tracing::debug!(nodes = snapshot.nodes.len(), "list of nodes");
    if !snapshot.partial {
        source.last_sync = now.clocks.unix;
    }
    let error = snapshot.faults.join("; ");
    if !error.is_empty() {
        actions.push(Action::CountSourceError);
        if source.error != error {
            tracing::warn!(%error, "a file of nodes cannot be read; the others count");
        }
    }
    source.error = error;
}

/// Takes in why there is none.
pub(super) fn failed(source: &mut SourceState, error: &source::Error, actions: &mut Vec<Action>) {
    actions.push(Action::CountSourceError);
    let error = error.to_string();
    if source.error != error {
        tracing::warn!(%error, "no new list of nodes; the last good one stays");
        source.error = error;
    }
}

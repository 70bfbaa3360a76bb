//! The agent's log: one line for each changed route and verdict; silence when nothing changed.

use routes::plan::Change;
use routes::reconcile::Turn;
use state::HeldState;

/// More changes than this at once are logged as one number: a cluster's first list would hide what matters.
const LISTED: usize = 100;

/// Logs a withdrawal that is held from now on, or no longer.
pub(super) fn held(before: Option<&HeldState>, now: Option<&HeldState>) {
    let size = |held: &HeldState| (held.withdraws, held.of);
    match (before, now) {
        (before, Some(held)) if before.map(size) != Some(size(held)) => {
            let (withdraws, of) = size(held);
            tracing::warn!(withdraws, of, "a list of nodes is held: it would withdraw too many routes");
        }
        (Some(_), None) => tracing::info!("no list of nodes is held any more"),
        _ => {}
    }
}

/// Logs what a turn did.
pub(super) fn turn(turn: &Turn) {
    if turn.changed.len() > LISTED {
        tracing::info!(verdicts = turn.changed.len(), "verdicts");
    } else {
        for verdict in &turn.changed {
            let cidr = verdict.cidr.map(tracing::field::display);
            tracing::info!(node = %verdict.node, cidr, verdict = %verdict.ruling, "verdict");
        }
    }
    if turn.applied.done.len() > LISTED {
        tracing::info!(changes = turn.applied.done.len(), "routes");
    } else {
        for change in &turn.applied.done {
            let op = match change {
                Change::Add(..) => "add",
                Change::Replace(..) => "replace",
                Change::Remove(_) => "remove",
            };
            tracing::info!(op, dst = %change.key().destination, "route");
        }
    }
    for (change, trouble) in turn.applied.refused.iter().take(LISTED) {
        tracing::warn!(dst = %change.key().destination, %trouble, "route");
    }
}

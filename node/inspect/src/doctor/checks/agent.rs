//! Is the node agent alive, ready, and in step with the list of nodes?

use super::super::finding::{Finding, Outcome, Problem};
use facts::Facts;
use state::Clocks;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else {
        let files = facts.configurations.iter().flatten();
        let asks = files.filter(|file| file.podlan().is_some_and(|podlan| podlan.contains_key("agent")));
        return Ok(match asks.map(|file| file.file.clone()).next() {
            Some(file) => Finding::Wrong(vec![Problem::new(
                format!("no agent has run since this node booted, and {file} counts on one"),
                "there are no routes to the other nodes' pods, and the runtime starts no pod (STATUS 50)",
                "start podlan-node run (kubectl -n kube-system get pods -o wide, or systemctl status podlan-node)",
            )]),
            None => Finding::moot("no agent runs on this node, and no configuration counts on one"),
        });
    };
    let state = &said.state;
    if said.stale {
        return Ok(Finding::Wrong(vec![Problem::new(
            format!("the agent has been silent for more than {} s (it was pid {})", state.stale_after, state.pid),
            "routes are not followed any more: new nodes are unreachable, a route that somebody removes stays away",
            "start it again and read the end of its log: kubectl -n kube-system logs ds/podlan, or journalctl -u \
             podlan-node",
        )]));
    }
    let mut problems = Vec::new();
    if !state.ready {
        problems.push(Problem::new(
            format!("the agent is not ready: {}", state.reasons.join("; ")),
            "the runtime starts no pod on this node (STATUS 50)",
            "mend what it names; `podlan-node status` shows it go",
        ));
    }
    if !state.source.error.is_empty() {
        let age = Clocks::now().unix.saturating_sub(state.source.last_sync);
        problems.push(Problem::new(
            format!("the list of nodes ({}) does not come: {}", state.source.name, state.source.error),
            format!(
                "the last good one, of {age} s ago, stays in force: nodes that came or moved since are unreachable"
            ),
            "mend what it names: the file's line, or the way to the API server and the agent's rights there",
        ));
    }
    if let Some(held) = &state.held {
        problems.push(Problem::new(
            format!("a list of nodes that would withdraw {} of {} routes is held", held.withdraws, held.of),
            "a list that loses so many nodes at once is more often a mistake than the truth",
            "if those nodes are really gone: podlan-node release-withdrawal",
        ));
    }
    Ok(Finding::of(problems, format!("alive (pid {}) and ready", state.pid)))
}

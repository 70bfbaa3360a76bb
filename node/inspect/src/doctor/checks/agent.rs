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
                format!("no agent has run since this node booted, and {file} needs one"),
                "there are no routes to pods of other nodes, and the runtime starts no pods (STATUS 50)",
                "start podlan-node run (kubectl -n kube-system get pods -o wide, or systemctl status podlan-node)",
            )]),
            None => Finding::moot("no agent runs on this node, and no configuration needs one"),
        });
    };
    let state = &said.state;
    if said.stale {
        return Ok(Finding::Wrong(vec![Problem::new(
            format!(
                "the agent has not updated node.json for more than {} s (its pid was {})",
                state.stale_after, state.pid
            ),
            "routes are no longer maintained: new nodes are unreachable, and a route that another program removes is \
             not restored",
            "start it again and read the end of its log: kubectl -n kube-system logs ds/podlan, or journalctl -u \
             podlan-node",
        )]));
    }
    let mut problems = Vec::new();
    if !state.ready {
        problems.push(Problem::new(
            format!("the agent is not ready: {}", state.reasons.join("; ")),
            "the runtime starts no pods on this node (STATUS 50)",
            "fix what the reason names; `podlan-node status` shows when the agent is ready",
        ));
    }
    if !state.source.error.is_empty() {
        let age = Clocks::now().unix.saturating_sub(state.source.last_sync);
        problems.push(Problem::new(
            format!("the list of nodes ({}) cannot be read: {}", state.source.name, state.source.error),
            format!(
                "the last good list, {age} s old, stays in force: nodes that joined or moved since then are unreachable"
            ),
            "fix what the error names: the line of the file, or the connection to the API server and the agent's \
             permissions there",
        ));
    }
    if let Some(held) = &state.held {
        problems.push(Problem::new(
            format!("a list of nodes that would withdraw {} of {} routes is held", held.withdraws, held.of),
            "a list that loses so many nodes at once is usually a mistake",
            "if those nodes are really gone: podlan-node release-withdrawal",
        ));
    }
    Ok(Finding::of(problems, format!("alive (pid {}) and ready", state.pid)))
}

//! Is the node agent alive, ready, and in step with the list of nodes?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::{AgentSaid, Facts};

/// `kubectl logs ds/podlan` would show the log of some node's pod.
const POD: &str = "kubectl -n kube-system get pods -o wide -l app.kubernetes.io/name=podlan";

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else {
        let files = facts.configurations.iter().flatten();
        let asks = files.filter(|file| file.podlan().is_some_and(|podlan| podlan.contains_key("agent")));
        return Ok(match asks.map(|file| file.file.clone()).next() {
            Some(file) => Finding::Wrong(vec![
                Condition::new(
                    Kind::AgentGone,
                    "",
                    format!("no agent has run since this node booted, and {file} needs one"),
                )
                .because("there are no routes to pods of other nodes, and the runtime starts no pods")
                .decided_by_a_person(format!("start it ({POD}, or systemctl status podlan-node)")),
            ]),
            None => Finding::moot("no agent runs on this node, and no configuration needs one"),
        });
    };
    let state = &said.state;
    if said.gone || said.stale {
        return Ok(Finding::Wrong(vec![silent(said)]));
    }
    let mut problems = Vec::new();
    if !state.ready && !said.starting {
        problems.push(
            Condition::new(Kind::AgentNotReady, "", format!("the agent is not ready: {}", state.reasons.join("; ")))
                .decided_by_a_person("fix what the reason names; `podlan-node status` shows when the agent is ready"),
        );
    }
    if !state.source.error.is_empty() {
        problems.push(
            Condition::new(
                Kind::NodeListUnreadable,
                "",
                format!("the list of nodes ({}) cannot be read: {}", state.source.name, state.source.error),
            )
            .because(if state.source.last_sync == 0 {
                "no list has been read yet: there are no routes to other nodes' pods, but those of the agent before"
            } else {
                Kind::NodeListUnreadable.why()
            })
            .decided_by_a_person(
                "fix what the error names: the line of the file, or the connection to the API server and the agent's \
                 permissions there",
            ),
        );
    }
    if let Some(held) = &state.held {
        problems.push(Condition::new(
            Kind::WithdrawalHeld,
            "",
            format!("a list of nodes that would withdraw {} of {} routes is held", held.withdraws, held.of),
        ));
    }
    let how = if state.ready { "ready".to_owned() } else { format!("starting: {}", state.reasons.join("; ")) };
    Ok(Finding::of(problems, format!("alive (pid {}) and {how}", state.pid)))
}

/// It has ended, or hangs.
fn silent(said: &AgentSaid) -> Condition {
    let (pid, age) = (said.state.pid, said.state.stale_after);
    let (wrong, cure) = if said.gone {
        (
            format!("the agent (its pid was {pid}) has ended: nothing holds node.lock in its run directory"),
            format!(
                "start it again and read the end of its log: {POD}, then kubectl -n kube-system logs POD (and --previous); \
                 or journalctl -u podlan-node"
            ),
        )
    } else {
        // A second agent does not start beside one that hangs.
        (
            format!("the agent has not updated node.json for more than {age} s (its pid was {pid})"),
            format!(
                "it hangs or is stopped: read the end of its log, then restart it: {POD}, then kubectl -n kube-system \
                 delete pod POD; or systemctl restart podlan-node"
            ),
        )
    };
    Condition::new(Kind::AgentGone, "", wrong)
        .because(
            "routes are no longer maintained: new nodes are unreachable, and a route that another program removes is not \
             restored",
        )
        .decided_by_a_person(cure)
}

//! Do rules of other programs accept what this node forwards between pods?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;
use filter::forward::By;

const POLICY: &str = "the policy belongs to another program, and a rule that is added once is lost at its next flush \
                      or restart; an agent with --accept-forward maintains one: add it to the arguments of \
                      podlan-node run (in Kubernetes: kubectl -n kube-system patch ds podlan --type json -p \
                      '[{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/0/args/-\",\"value\":\"--accept-forward\"}]')";
const RULE: &str = "podlan does not overrule a rule of another program; change it where it is configured";

pub(super) fn judge(facts: &Facts) -> Outcome {
    let found = facts.forward.as_ref().map_err(Clone::clone)?;
    let Some(found) = found else { return Ok(Finding::moot("no agent knows the pod CIDRs")) };
    let problem = |drop: &filter::forward::ForwardDrop| {
        let problem = Condition::new(
            Kind::ForwardDrop,
            drop.chain.as_str(),
            format!("the chain {} drops traffic between pods {}", drop.place(), drop.by()),
        )
        .decided_by_a_person(drop.cure.clone());
        match drop.by {
            By::Policy if drop.cure.contains("--accept-forward") => problem.left_because(POLICY),
            By::Policy | By::Rule | By::Legacy => problem.left_because(RULE),
        }
    };
    let unsure: Vec<String> =
        found.iter().filter(|drop| !drop.certain).map(|drop| format!("{} ({})", drop.place(), drop.cure)).collect();
    let problems: Vec<Condition> = found.iter().filter(|drop| drop.certain).map(problem).collect();
    if problems.is_empty() && !unsure.is_empty() {
        let unknown = format!("some rules cannot be read in: {}", unsure.join(", "));
        if !pass_by_probes(facts) {
            return Err(unknown);
        }
        let fine = "no rule that can be read drops traffic between pods, and the probes' packets pass".to_owned();
        return Ok(Finding::Partly { fine, unknown });
    }
    Ok(Finding::of(problems, "no rule drops traffic between pods"))
}

/// Whether the probes' packets, which this node forwards as a pod's, pass to peers in each family, and to none they are lost.
fn pass_by_probes(facts: &Facts) -> bool {
    let said = facts.said().ok().flatten().filter(|said| !said.stale);
    let Some(paths) = said.and_then(|said| said.state.paths.as_ref()).filter(|paths| paths.probed) else {
        return false;
    };
    let open = |name: &str| paths.counts.get(name).and_then(|counts| counts.get("open")).is_some_and(|open| *open > 0);
    let families = facts.own_cidrs().into_iter().map(|cidr| if cidr.is_ipv4() { "ipv4" } else { "ipv6" });
    let lost = paths.worst.iter().any(|line| line.state.starts_with("lost"));
    families.into_iter().all(open) && !lost
}

//! Do rules of others let pass what this node forwards between pods?

use super::super::finding::{Finding, Outcome, Problem};
use facts::Facts;
use filter::forward::By;

const POLICY: &str = "it is another's decision, and a rule put there once would be gone after the next flush or start; an agent \
                      with --accept-forward keeps one there: add it to the arguments of podlan-node run (in Kubernetes: \
                      kubectl -n kube-system patch ds podlan --type json -p \
                      '[{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/0/args/-\",\"value\":\"--accept-forward\"}]')";
const RULE: &str = "what another forbids by a rule podlan does not overrule; change it where it is configured";

pub(super) fn judge(facts: &Facts) -> Outcome {
    let found = facts.forward.as_ref().map_err(Clone::clone)?;
    let Some(found) = found else { return Ok(Finding::moot("no agent knows the pod CIDRs")) };
    let problem = |drop: &filter::forward::ForwardDrop| {
        let by = match drop.by {
            By::Policy => "by its policy",
            By::Rule => "by a rule",
            By::Legacy => "as far as can be seen",
        };
        let problem = Problem::new(
            format!("the chain {} drops traffic between pods {by}", drop.chain),
            "pods of this node and of others do not reach each other, whatever routes and podlan's own rules say",
            drop.cure.clone(),
        );
        match drop.by {
            By::Policy if drop.cure.contains("--accept-forward") => problem.left_because(POLICY),
            By::Policy | By::Rule | By::Legacy => problem.left_because(RULE),
        }
    };
    let unsure: Vec<&str> = found.iter().filter(|drop| !drop.certain).map(|drop| drop.chain.as_str()).collect();
    let problems: Vec<Problem> = found.iter().filter(|drop| drop.certain).map(problem).collect();
    if problems.is_empty() && !unsure.is_empty() {
        return Err(format!("not every rule can be read of: {}", unsure.join(", ")));
    }
    Ok(Finding::of(problems, "nobody drops what goes between pods"))
}

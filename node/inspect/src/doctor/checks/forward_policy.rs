//! Do rules of other programs accept what this node forwards between pods?

use super::super::finding::{Finding, Outcome, Problem};
use facts::Facts;
use filter::forward::By;

const POLICY: &str = "the policy belongs to another program, and a rule that is added once is lost at its next flush \
                      or restart; an agent with --accept-forward maintains one: add it to the arguments of podlan-node run (in Kubernetes: \
                      kubectl -n kube-system patch ds podlan --type json -p \
                      '[{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/0/args/-\",\"value\":\"--accept-forward\"}]')";
const RULE: &str = "podlan does not overrule a rule of another program; change it where it is configured";

pub(super) fn judge(facts: &Facts) -> Outcome {
    let found = facts.forward.as_ref().map_err(Clone::clone)?;
    let Some(found) = found else { return Ok(Finding::moot("no agent knows the pod CIDRs")) };
    let problem = |drop: &filter::forward::ForwardDrop| {
        let by = match drop.by {
            By::Policy => "by its policy",
            By::Rule => "by a rule",
            By::Legacy => "(its rules cannot be read)",
        };
        let problem = Problem::new(
            format!("the chain {} drops traffic between pods {by}", drop.chain),
            "pods of this node and of other nodes do not reach each other, whatever the routes and podlan's own rules \
             are",
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
        return Err(format!("some rules cannot be read in: {}", unsure.join(", ")));
    }
    Ok(Finding::of(problems, "no rule drops traffic between pods"))
}

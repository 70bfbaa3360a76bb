//! Does the node send to its pods from the address that the cluster has for it?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent knows this node's InternalIP")) };
    let internal = &said.state.addresses;
    let kernel = facts.kernel()?;
    let mut problems = Vec::new();
    let mut asked = 0;
    for (pod, source) in &kernel.sources {
        let Some(source) = source else { continue };
        let family: Vec<String> =
            internal.iter().filter(|address| address.is_ipv4() == pod.is_ipv4()).map(ToString::to_string).collect();
        if family.is_empty() {
            continue;
        }
        asked += 1;
        if !internal.contains(source) {
            problems.push(
                Condition::new(
                    Kind::SourceAddress,
                    source.to_string(),
                    format!("this node sends to its pods from {source}, and its InternalIP is {}", family.join(", ")),
                )
                .decided_by_a_person(format!(
                    "set `hostSource` to {} in the conflist of podlan; it applies to pods that are created afterwards",
                    family[0]
                )),
            );
        }
    }
    if asked == 0 {
        return Ok(Finding::moot("there are no pods"));
    }
    Ok(Finding::of(problems, "the node's InternalIP"))
}

//! Does the node forward the families that its pods have, by every link that carries their packets?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Fix, Kind};
use facts::Facts;
use netlink::Family;
use pods::forwarding::Off;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let mut problems = Vec::new();
    let mut on = Vec::new();
    for (family, fix) in [(Family::V4, Fix::ForwardV4), (Family::V6, Fix::ForwardV6)] {
        // A kernel without the family is reported by another check.
        if facts.pods_have(family)
            && facts.settings.forwarding[family.index()].as_ref().map_err(Clone::clone)?.all.is_some()
        {
            on.push(family.to_string());
            problems.extend(facts.not_forwarding(family)?.map(|off| problem(family, &off, facts).fixed_by(fix)));
        }
    }
    if on.is_empty() {
        return Ok(Finding::moot("there are no pods and no pools yet"));
    }
    Ok(Finding::of(problems, format!("on for {}", on.join(" and "))))
}

/// Why the agent leaves it off, as its warning has it before the cure.
fn left_off(off: &Off, facts: &Facts) -> Option<String> {
    let said = facts.said().ok().flatten()?;
    let (off, cure) = (off.to_string(), format!(": {}", off.cure()));
    let warning = said.state.warnings.iter().find(|warning| warning.starts_with(&off))?;
    Some(warning.strip_suffix(&cure).unwrap_or(warning).to_owned())
}

fn problem(family: Family, off: &Off, facts: &Facts) -> Condition {
    let why = match off {
        Off::NodeV4(_) | Off::V6(_) => {
            format!("the node drops every {family} packet between its pods and between them and other nodes")
        }
        Off::LinksV4(links) => {
            let names: Vec<&str> = links.iter().map(|(_, name)| name.as_str()).collect();
            format!("the node drops every {family} packet of pods that arrives on {}", names.join(", "))
        }
    };
    let cure = format!(
        "podlan-node doctor --fix, or: {}; then find what switched it off: grep -rs {} /etc/sysctl.conf \
         /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d",
        off.cure(),
        off.settings().first().map_or("forwarding", String::as_str),
    );
    Condition::new(Kind::ForwardingOff, family.to_string(), left_off(off, facts).unwrap_or_else(|| off.to_string()))
        .because(why)
        .decided_by_a_person(cure)
        .by_command(off.cure())
}

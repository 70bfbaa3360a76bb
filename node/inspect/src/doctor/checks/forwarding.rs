//! Does the node forward the families that its pods have, by every link that carries their packets?

use super::super::finding::{Finding, Fix, Outcome, Problem};
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
            problems.extend(facts.not_forwarding(family)?.map(|off| problem(family, &off).fixed_by(fix)));
        }
    }
    if on.is_empty() {
        return Ok(Finding::moot("there are no pods and no pools yet"));
    }
    Ok(Finding::of(problems, format!("on for {}", on.join(" and "))))
}

fn problem(family: Family, off: &Off) -> Problem {
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
        "podlan-node doctor --fix, or: {}; then find what switched it off: grep -rs {} /etc/sysctl.conf /etc/sysctl.d \
         /run/sysctl.d /usr/lib/sysctl.d",
        off.cure(),
        off.settings().first().map_or("forwarding", String::as_str),
    );
    Problem::new(off.to_string(), why, cure)
}

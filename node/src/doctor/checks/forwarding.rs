//! Does the node forward the families that its pods have?

use super::super::facts::{Facts, Seen};
use super::super::finding::{Finding, Mend, Outcome, Problem};

pub(super) fn judge(facts: &Facts) -> Outcome {
    let settings = &facts.settings;
    let families = [
        (false, "IPv4", "net.ipv4.ip_forward", &settings.forwarding_v4, Mend::ForwardV4),
        (true, "IPv6", "net.ipv6.conf.all.forwarding", &settings.forwarding_v6, Mend::ForwardV6),
    ];
    let mut problems = Vec::new();
    let mut on = Vec::new();
    for (v6, family, name, value, mend) in families {
        // That the kernel has no such setting is another check's.
        let Some(value) = asked(facts.pods_have(v6), value)? else { continue };
        on.push(family);
        if value == "0" {
            problems.push(
                Problem::new(
                    format!("{family} forwarding is off ({name} = 0)"),
                    format!("the node drops every {family} packet between its pods and between them and other nodes"),
                    format!(
                        "podlan-node doctor --fix, or: sysctl -w {name}=1; then find who switched it off: grep -rs {name} \
                         /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d"
                    ),
                )
                .mended_by(mend),
            );
        }
    }
    if on.is_empty() {
        return Ok(Finding::moot("there are no pods yet, nor pools to give them addresses"));
    }
    Ok(Finding::of(problems, format!("on for {}", on.join(" and "))))
}

fn asked(matters: bool, value: &Seen<Option<String>>) -> Seen<Option<&str>> {
    if !matters {
        return Ok(None);
    }
    value.as_ref().map(Option::as_deref).map_err(Clone::clone)
}

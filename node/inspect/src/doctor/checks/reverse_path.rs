//! Does the kernel check the source address of pods' packets?

use super::super::finding::{Finding, Outcome, some};
use conditions::{Condition, Kind};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let all = facts.settings.rp_filter_all.clone()?;
    let links = facts.settings.rp_filter.clone()?;
    if links.is_empty() {
        return Ok(Finding::moot("there are no pod links"));
    }
    // The kernel takes the larger of the two; 2 is loose.
    let unguarded = |(_, own): &&(String, String)| own == "0" && !matches!(all.as_deref(), Some("1" | "2"));
    let open: Vec<String> = links.iter().filter(unguarded).map(|(link, _)| link.clone()).collect();
    let problem = || {
        let settings: Vec<String> = open.iter().map(|link| format!("net.ipv4.conf.{link}.rp_filter=1")).collect();
        let command = format!("sysctl -w {}", settings.join(" "));
        Condition::new(Kind::RpFilterOff, "", format!("rp_filter is off on the pod links {}", some(&open)))
            .because(
                "podlan sets it to 1 on every pod link; without it only the agent's packet filter rule prevents \
                 those pods from sending with another pod's address",
            )
            .decided_by_a_person(format!("{command}; then find what resets it"))
            .by_command(command)
    };
    let problems = if open.is_empty() { Vec::new() } else { vec![problem()] };
    let fine = match all.as_deref() {
        Some("2") => {
            "loose for all links (net.ipv4.conf.all.rp_filter = 2): the packet filter rule does the strict check"
        }
        _ => "strict on every pod link",
    };
    Ok(Finding::of(problems, fine))
}

//! Does the node lose by forwarding what it has by IPv6 router advertisements?

use netlink::{Family, Loss};

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;

pub(super) fn judge(facts: &Facts) -> Outcome {
    if !facts.pods_have(Family::V6) {
        return Ok(Finding::moot("pods have no IPv6"));
    }
    let problems = facts.settings.losses.clone()?.iter().map(problem).collect();
    Ok(Finding::of(problems, "no address or route depends on router advertisements that a forwarding node ignores"))
}

fn problem(loss: &Loss) -> Condition {
    let (Loss { link, learned }, setting) = (loss, loss.setting());
    Condition::new(
        Kind::RouterAdvertisement,
        link.as_str(),
        format!("{learned} of {link} was learned from a router advertisement, and {link} has accept_ra = 1"),
    )
    .because(
        "a node that forwards IPv6 ignores advertisements unless accept_ra is 2: it would lose it and may be cut \
         off, so podlan does not switch IPv6 forwarding on",
    )
    .decided_by_a_person(format!(
        "sysctl -w {setting}=2, and make it permanent: echo {setting}=2 >> /etc/sysctl.d/90-podlan.conf"
    ))
    .by_command(format!("sysctl -w {setting}=2"))
}

//! Would a forwarding node lose its IPv6 default route?

use super::super::facts::Facts;
use super::super::finding::{Finding, Outcome, Problem};

pub(super) fn judge(facts: &Facts) -> Outcome {
    if !facts.pods_have(true) {
        return Ok(Finding::moot("pods have no IPv6"));
    }
    let problems = facts.settings.cut_off.clone()?.into_iter().map(|link| {
        Problem::new(
            format!("the IPv6 default route on {link} was learned from a router advertisement, and {link} has accept_ra = 1"),
            "a node that forwards IPv6 ignores advertisements unless accept_ra is 2: it would lose that route and be cut \
             off, so podlan switches IPv6 forwarding on for no pod as it is",
            format!("sysctl -w net.ipv6.conf.{link}.accept_ra=2, and keep it: echo net.ipv6.conf.{link}.accept_ra=2 > /etc/sysctl.d/90-podlan.conf"),
        )
    });
    Ok(Finding::of(problems.collect(), "no default route depends on advertisements that forwarding ignores"))
}

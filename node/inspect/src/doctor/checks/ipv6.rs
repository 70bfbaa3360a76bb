//! Has the kernel IPv6, where pods are to have it?

use super::super::finding::{Finding, Outcome};
use conditions::{Condition, Kind};
use facts::Facts;
use netlink::Family;

pub(super) fn judge(facts: &Facts) -> Outcome {
    if !facts.pods_have(Family::V6) {
        return Ok(Finding::moot("pods have no IPv6"));
    }
    let why = "no pod gets its IPv6 address: every ADD on this node fails";
    if !facts.settings.kernel_has_v6 {
        let cure = "boot without ipv6.disable=1 (/proc/cmdline), or a kernel with CONFIG_IPV6, or, where a nodes file lists this \
                    node, remove its IPv6 CIDR there";
        return Ok(Finding::Wrong(vec![
            Condition::new(Kind::Ipv6Off, "", "pods are to have IPv6, and the kernel has none")
                .because(why)
                .decided_by_a_person(cure),
        ]));
    }
    let disabled = facts.settings.disable_v6.clone()?.as_deref() == Some("1");
    let problem = || {
        Condition::new(Kind::Ipv6Off, "", "pods are to have IPv6, and net.ipv6.conf.all.disable_ipv6 is 1")
            .because(why)
            // The links' addresses went with it: a command that enables it alone cures nothing.
            .decided_by_a_person(
                "sysctl -w net.ipv6.conf.all.disable_ipv6=0, configure the links' IPv6 addresses again, create the pods \
                 again, and find what sets it: grep -rs disable_ipv6 /etc/sysctl.conf /etc/sysctl.d",
            )
    };
    Ok(Finding::of(disabled.then(problem).into_iter().collect(), "the kernel has IPv6"))
}

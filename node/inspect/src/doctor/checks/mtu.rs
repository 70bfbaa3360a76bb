//! Do packets of pods fit the links of their paths?

use netlink::is_pod_link;

use super::super::finding::{Finding, Outcome, some};
use conditions::{Condition, Fix, Kind};
use facts::Facts;
use routes::Target;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let kernel = facts.kernel()?;
    let configured = facts.configurations()?.iter().find_map(|file| Some((file, file.podlan()?)));
    let configured = configured.and_then(|(file, podlan)| Some((file.file.as_str(), podlan.get("mtu")?.as_u64()?)));
    let chosen = configured.is_some();
    let (wanted, by) = match configured {
        Some((file, mtu)) => (mtu, format!("`mtu` of {file}")),
        None => (kernel.inherited_mtu.mtu.into(), kernel.inherited_mtu.of.to_string()),
    };
    let mut problems = Vec::new();
    let pods = || kernel.links.iter().filter(|link| link.veth && is_pod_link(&link.name));
    let odd: Vec<String> = pods()
        .filter(|link| u64::from(link.mtu) != wanted)
        .map(|link| format!("{} has {}{}", link.name, link.mtu, whose(&link.alias)))
        .collect();
    if !odd.is_empty() {
        let cure = "give both ends of the link that MTU (as root of the node: podlan-node doctor --fix), or create \
                    the pod again: kubectl delete pod …";
        let problem =
            Condition::new(Kind::PodMtu, "", format!("the MTU of pod links is not {wanted} ({by}): {}", some(&odd)))
                .decided_by_a_person(cure);
        // A configured MTU may be meant for new pods only.
        problems.push(if chosen {
            problem
        } else {
            problem.by_command("podlan-node doctor --fix").fixed_by(Fix::PodMtu)
        });
    }
    let said = facts.said()?;
    let by_links = said.into_iter().flat_map(|said| said.verdicts.iter()).filter_map(|line| match line.wanted {
        Some(Target::Hop { link, .. }) => Some(link),
        _ => None,
    });
    let mut by_links: Vec<u32> = by_links.collect();
    by_links.sort_unstable();
    by_links.dedup();
    for link in kernel.links.iter().filter(|link| by_links.contains(&link.index) && u64::from(link.mtu) < wanted) {
        problems.push(
            Condition::new(
                Kind::UplinkMtu,
                link.name.as_str(),
                format!(
                    "pods have an MTU of {wanted} ({by}), and {}, by which other nodes are reached, has {}",
                    link.name, link.mtu
                ),
            )
            .decided_by_a_person(format!(
                "run the agent with --mtu {} and create the pods again, or raise the MTU of {}",
                link.mtu, link.name
            )),
        );
    }
    Ok(Finding::of(problems, format!("{wanted} on every pod link ({by})")))
}

/// The alias holds the pod's name last, for people.
fn whose(alias: &str) -> String {
    alias.split(' ').next_back().filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" ({name})"))
}

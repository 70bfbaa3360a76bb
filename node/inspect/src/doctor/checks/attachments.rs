//! Do the living pods have what the plugin made for them: the host link, the route to them, and inside their namespaces the
//! address and a route by the gateway?

use std::net::IpAddr;

use super::super::finding::{Finding, Outcome};
use crate::cure;
use conditions::{Condition, Fix, Kind};
use facts::attached::Attached;
use facts::{Facts, Kernel};
use netlink::Link;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let kernel = facts.kernel()?;
    let pods: Vec<&Attached> = facts.pods()?.iter().filter(|pod| pod.is_podlans() && pod.lives()).collect();
    let mut problems: Vec<Condition> = Vec::new();
    let (mut unseen, mut why) = (0, String::new());
    for pod in &pods {
        if let Some(problem) = outside(pod, &pods, facts, kernel) {
            if !problems.iter().any(|known| known.is_same(&problem)) {
                problems.push(problem);
            }
            continue;
        }
        match &pod.inside {
            Some(Ok(_)) => problems.extend(inside(pod, &pods)),
            Some(Err(error)) => {
                unseen += 1;
                why.clone_from(error);
            }
            None => {}
        }
    }
    if pods.is_empty() {
        return Ok(Finding::moot("there are no pods of podlan"));
    }
    let fine = format!("{} have their links and routes", pods.len());
    if problems.is_empty() && unseen > 0 {
        let unknown = format!(
            "the insides of {unseen} pods were not looked at ({why}): run podlan-node doctor as root of the node, not in \
             the agent's container"
        );
        return Ok(Finding::Partly { fine, unknown });
    }
    Ok(Finding::of(problems, fine))
}

/// What is wrong with the host's end.
fn outside(pod: &Attached, all: &[&Attached], facts: &Facts, kernel: &Kernel) -> Option<Condition> {
    let address = pod.lease.address.ip();
    let name = pod.lease.proof.host_link.as_deref().unwrap_or_default();
    let routed = kernel.routes.iter().filter(|route| route.destination.ip() == address && is_host(route.destination));
    let by_route = |link: &&Link| routed.clone().any(|route| route.device == Some(link.index));
    // A link that was renamed is found by the route to it.
    let link = pod.link.as_ref().or_else(|| kernel.links.iter().filter(|link| link.veth).find(by_route));
    let Some(link) = link else {
        let wrong =
            format!("the host link {name} of {} ({address}) is gone, and the pod's namespace is there", pod.name());
        return Some(Condition::new(Kind::PodLinkMissing, pod.name(), wrong).decided_by_a_person(
            "create the pod again (kubectl delete pod …): a pair that was deleted cannot be put back from outside",
        ));
    };
    let of_link = || all.iter().filter(|other| other.link.as_ref().is_some_and(|other| other.index == link.index));
    if !link.up {
        let addresses: Vec<(IpAddr, Option<IpAddr>)> = of_link()
            .map(|other| other.lease.address.ip())
            .map(|address| (address, host_source(facts, &pod.network, address)))
            .collect();
        let wrong = format!("{}, the host link of {} ({address}), is down", link.name, pod.name());
        let command = cure::pod_link(&link.name, pod.link_local(), &addresses);
        return Some(Condition::new(Kind::PodLinkDown, pod.name(), wrong).cured_by(command).fixed_by(Fix::PodLinks));
    }
    if !by_route(&link) {
        let wrong = format!("the route to {address} ({}) by {} is missing", pod.name(), link.name);
        let command = cure::pod_route(address, &link.name, host_source(facts, &pod.network, address));
        let subject = format!("{} {address}", pod.name());
        return Some(Condition::new(Kind::PodRouteMissing, subject, wrong).cured_by(command).fixed_by(Fix::PodLinks));
    }
    None
}

/// What is wrong with the pod's end.
fn inside(pod: &Attached, all: &[&Attached]) -> Option<Condition> {
    let Some(Ok(inside)) = &pod.inside else { return None };
    let (lease, address) = (&pod.lease, pod.lease.address.ip());
    let (ifname, netns) = (lease.owner.ifname.as_str(), lease.proof.netns.display());
    // The interface's addresses of both families: what takes one often takes the other.
    let same = |other: &&&Attached| other.lease.owner == lease.owner && other.network == pod.network;
    let command = || {
        let addresses: Vec<IpAddr> = all.iter().filter(same).map(|other| other.lease.address.ip()).collect();
        cure::inside(&lease.proof.netns, ifname, &addresses)
    };
    let subject = format!("{} {address}", pod.name());
    let of = format!("{} (in {netns})", pod.name());
    if !inside.there {
        let wrong = format!("{ifname} of {of} is gone");
        return Some(
            Condition::new(Kind::PodInterfaceDown, subject, wrong)
                .decided_by_a_person("create the pod again (kubectl delete pod …)"),
        );
    }
    if !inside.up {
        let wrong = format!("{ifname} of {of} is down");
        return Some(Condition::new(Kind::PodInterfaceDown, subject, wrong).cured_by(command()));
    }
    if !inside.addresses.contains(&address) {
        let wrong = format!("{ifname} of {of} has lost its address {address}");
        return Some(Condition::new(Kind::PodAddressLost, subject, wrong).cured_by(command()));
    }
    if !inside.routed {
        let wrong = format!("{ifname} of {of} has lost its route by the gateway, {}", gateway(address));
        return Some(Condition::new(Kind::PodDefaultRouteLost, subject, wrong).cured_by(command()));
    }
    None
}

fn gateway(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "169.254.1.1" } else { "fe80::1" }
}

fn is_host(destination: ipnetwork::IpNetwork) -> bool {
    destination.prefix() == if destination.is_ipv4() { 32 } else { 128 }
}

/// The source of the node's own packets to the pods of a network, where its configuration names one.
pub(crate) fn host_source(facts: &Facts, network: &str, pod: IpAddr) -> Option<IpAddr> {
    let file = facts.configurations.iter().flatten().find(|file| file.network() == network)?;
    let value = file.podlan()?.get("hostSource")?;
    let one = value.as_str().into_iter();
    let all = value.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    let sources = one.chain(all).filter_map(|text| text.parse::<IpAddr>().ok());
    sources.into_iter().find(|source| source.is_ipv4() == pod.is_ipv4())
}

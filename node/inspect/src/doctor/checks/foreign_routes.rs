//! Does another program's route win over podlan's in a pod subnet of this node or of another?
//!
//! A route that loses (a routing daemon's, of a higher metric), one to a subnet to which podlan wants no route (another
//! segment's), one that goes the same way, and those of pods that were adopted are as they should be.

use ipnetwork::IpNetwork;
use netlink::{NODE_ROUTE, POD_ROUTE, PROBE_ROUTE, Route};

use super::super::finding::{Finding, Outcome};
use crate::cure;
use conditions::{Condition, Kind};
use facts::{Facts, Kernel, Subnets};
use routes::{OWN_METRIC, PEER_METRIC, Target, protocol};
use state::VerdictLine;

/// `RTPROT_KERNEL`: the subnet of an address.
const OF_AN_ADDRESS: u8 = 2;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent knows the pod subnets")) };
    let kernel = facts.kernel()?;
    let own = facts.own_cidrs();
    let others: Subnets<&VerdictLine> = said
        .verdicts
        .iter()
        .filter(|line| line.node != said.state.node)
        .filter_map(|line| Some((line.cidr.parse().ok()?, line)))
        .collect();
    let mut problems = Vec::new();
    for route in kernel.routes.iter().filter(|route| !matches!(route.protocol, NODE_ROUTE | POD_ROUTE | PROBE_ROUTE)) {
        let inside = |cidr: &IpNetwork| within(route.destination, *cidr);
        if let Some((cidr, line)) = others.holder(route.destination) {
            if wins_over_peer(route, cidr, line.wanted) {
                problems.push(problem(route, &format!("{cidr}, the pod subnet of {}", line.node), kernel));
            }
        } else if let Some(cidr) = own.iter().find(|cidr| inside(cidr))
            && wins_over_pods(route, *cidr, facts)
        {
            problems.push(problem(route, &format!("{cidr}, the pod subnet of this node"), kernel));
        }
    }
    Ok(Finding::of(problems, "no route of another program wins in a pod subnet"))
}

fn within(inner: IpNetwork, outer: IpNetwork) -> bool {
    inner.is_ipv4() == outer.is_ipv4() && outer.contains(inner.network()) && outer.prefix() <= inner.prefix()
}

/// Whether packets to pods of another node follow it instead of podlan's route, and go elsewhere.
fn wins_over_peer(route: &Route, cidr: IpNetwork, wanted: Option<Target>) -> bool {
    if route.kind.leads_nowhere() && route.metric != OWN_METRIC {
        return route.destination != cidr || route.metric < PEER_METRIC || wanted.is_none();
    }
    let Some(Target::Hop { via, link, .. }) = wanted else { return false };
    // One in the place of a desired route is reported by the check `routes`.
    let wins = route.destination != cidr || route.metric < PEER_METRIC;
    wins && (route.gateway != Some(via) || route.device != Some(link))
}

/// Whether packets to pods of this node follow it and go elsewhere than to their pods.
fn wins_over_pods(route: &Route, cidr: IpNetwork, facts: &Facts) -> bool {
    if route.destination == cidr && route.kind.leads_nowhere() {
        // As podlan's own.
        return false;
    }
    let pods = || facts.pods.iter().flatten().filter(|pod| pod.presence != ipam::Presence::Gone);
    let mut held = pods().filter(|pod| route.destination.contains(pod.lease.address.ip()));
    if route.destination.prefix() == if route.destination.is_ipv4() { 32 } else { 128 } {
        return match held.next() {
            None => true,
            // It was adopted, or another plugin makes its link.
            Some(pod) if !pod.is_podlans() => route.kind.leads_nowhere(),
            Some(pod) => pod.link.as_ref().is_none_or(|link| route.device != Some(link.index)),
        };
    }
    // The subnet of a bridge, whose pods lease from podlan-ipam or were adopted.
    let of_others = held.any(|pod| !pod.is_podlans());
    !(of_others && route.protocol == OF_AN_ADDRESS)
}

fn problem(route: &Route, place: &str, kernel: &Kernel) -> Condition {
    let number = route.protocol;
    let condition = Condition::new(
        Kind::ForeignRoute,
        route.destination.to_string(),
        format!("`{}` (protocol {number}) is in {place}, and is preferred to podlan's route", kernel.shown(route)),
    )
    .left_because("podlan never removes a route that it did not make");
    let cure = format!(
        "it was probably made by {}: two programs must not manage routes of one subnet; stop the other one, or have it \
         leave out this subnet",
        protocol::maker(number),
    );
    match cure::remove_route(route, |index| kernel.link_name(index)) {
        Some(command) => condition.decided_by_a_person(format!("{cure}; then: {command}")).by_command(command),
        None => condition.decided_by_a_person(cure),
    }
}

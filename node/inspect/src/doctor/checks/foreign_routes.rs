//! Does another program route pod subnets on this node?

use ipnetwork::IpNetwork;
use netlink::{NODE_ROUTE, POD_ROUTE, Route};

use super::super::finding::{Finding, Outcome, Problem};
use facts::Facts;
use routes::{PEER_METRIC, protocol};

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent knows the pod subnets")) };
    let kernel = facts.kernel()?;
    let own = facts.own_cidrs();
    let others: Vec<(&str, IpNetwork)> = said.others().collect();
    let mut problems = Vec::new();
    for route in kernel.routes.iter().filter(|route| !matches!(route.protocol, NODE_ROUTE | POD_ROUTE)) {
        // One in the place of a desired route is reported by the check `routes`.
        let inside = |cidr: &IpNetwork| within(route.destination, *cidr);
        if let Some((node, cidr)) = others.iter().find(|(_, cidr)| inside(cidr)) {
            if route.destination != *cidr || route.metric != PEER_METRIC {
                problems.push(problem(route, &format!("{cidr}, the pod subnet of {node}")));
            }
        } else if let Some(cidr) = own.iter().find(|cidr| inside(cidr)) {
            problems.push(problem(route, &format!("{cidr}, the pod subnet of this node")));
        }
    }
    Ok(Finding::of(problems, "no other program routes pod subnets"))
}

fn within(inner: IpNetwork, outer: IpNetwork) -> bool {
    inner.is_ipv4() == outer.is_ipv4() && outer.contains(inner.network()) && outer.prefix() <= inner.prefix()
}

fn problem(route: &Route, place: &str) -> Problem {
    let (number, v6) = (route.protocol, if route.destination.is_ipv6() { "-6 " } else { "" });
    Problem::new(
        format!("`{route} proto {}` (protocol {number}) lies in {place}, and is not podlan's", protocol::name(number)),
        "where it is more specific or has the lower metric, packets to those pods follow it instead of podlan's route",
        format!(
            "it was probably made by {}: two programs must not manage routes of one subnet; stop the other one, then: \
             ip \
             {v6}route del {} proto {number}",
            protocol::maker(number),
            route.destination,
        ),
    )
}

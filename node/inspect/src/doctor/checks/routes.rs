//! Are the desired routes in the kernel, and do packets take them?

use netlink::{NODE_ROUTE, Route};

use super::super::finding::{Finding, Outcome};
use crate::cure;
use conditions::{Condition, Fix, Kind};
use facts::{Facts, Kernel};
use routes::apply::REFUSED;
use routes::compare::{InKernel, Shown, in_kernel};
use routes::kernel::observed;
use routes::protocol;
use routes::{Key, Routes, Target};
use state::VerdictLine;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent runs here, so no routes are desired")) };
    let kernel = facts.kernel()?;
    let found: Routes = kernel.routes.iter().filter_map(observed).collect();
    let mut wanted = 0;
    let mut problems = Vec::new();
    for line in said.verdicts.iter() {
        let Some((key, target)) = line.route() else { continue };
        wanted += 1;
        let is = match in_kernel(&key, &target, &found) {
            InKernel::AsWanted => continue,
            InKernel::Missing => "missing".to_owned(),
            InKernel::Otherwise(target) => Shown(target, &kernel.here).to_string(),
        };
        let wrong = format!(
            "the route to {} ({}) is {is}, it should be {}",
            key.destination,
            line.node,
            Shown(target, &kernel.here)
        );
        let (kind, why) = if key.is_own() {
            (
                Kind::OwnRouteMissing,
                "packets to addresses that no pod has leave the node by its default route, and may come back",
            )
        } else {
            (Kind::RouteMissing, "pods of that node are unreachable from this node")
        };
        problems.push(match kernel.routes.iter().find(|route| holds(route, &key)) {
            Some(thief) => stolen(wrong, why, thief, kernel),
            None if line.reason == "refused-by-kernel" => refused(wrong, why, line),
            None => {
                missing(Condition::new(kind, key.destination.to_string(), wrong).because(why), &key, target, kernel)
            }
        });
    }
    Ok(Finding::of(problems, format!("{wanted} of {wanted} desired routes are in the kernel")))
}

/// The agent restores it; so does the very route by hand, which the agent takes for its own.
fn missing(condition: Condition, key: &Key, target: Target, kernel: &Kernel) -> Condition {
    let again = "if it disappears again, another program removes it: ip monitor route";
    let condition = condition.fixed_by(Fix::WakeAgent);
    match cure::node_route(key.destination, target, |index| kernel.link_name(index)) {
        Some(command) => condition
            .decided_by_a_person(format!("a running agent restores it; without one: {command}; {again}"))
            .by_command(command),
        None => condition.decided_by_a_person(format!("a running agent restores it; {again}")),
    }
}

/// Whether it is a foreign route in the place of a desired one.
fn holds(route: &Route, key: &Key) -> bool {
    route.protocol != NODE_ROUTE && route.destination == key.destination && route.metric == key.metric
}

/// Another attempt fails as long as the node does not change.
fn refused(wrong: String, why: &str, line: &VerdictLine) -> Condition {
    let said = line.text.split_once(REFUSED).map_or(line.text.as_str(), |(_, said)| said);
    Condition::new(Kind::RouteRefused, line.cidr.as_str(), format!("{wrong}; the kernel refuses it: {said}"))
        .because(why)
        .decided_by_a_person(
            "see how the kernel reaches that node's address (ip route get ADDRESS) and its gateway; the agent tries \
             again by itself when links, addresses, routes or rules of this node change",
        )
        .left_because("the kernel refuses the route, and would refuse it again")
}

fn stolen(wrong: String, why: &str, thief: &Route, kernel: &Kernel) -> Condition {
    let condition = Condition::new(
        Kind::RouteReplaced,
        thief.destination.to_string(),
        format!("{wrong}; in its place is `{}`", kernel.shown(thief)),
    )
    .because(format!("{why}; podlan never removes a route that it did not make"))
    .left_because("podlan never removes a route that it did not make");
    let cure = format!(
        "find the program that made it (protocol {}: {}), and stop it or have it leave out this subnet",
        thief.protocol,
        protocol::maker(thief.protocol),
    );
    match cure::remove_route(thief, |index| kernel.link_name(index)) {
        Some(command) => condition
            .decided_by_a_person(format!("{cure}; then: {command}; the agent restores its own at once"))
            .by_command(command),
        None => condition.decided_by_a_person(cure),
    }
}

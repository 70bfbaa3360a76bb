//! Are the desired routes in the kernel, and do packets take them?

use netlink::{NODE_ROUTE, Route};

use super::super::finding::{Finding, Fix, Outcome, Problem};
use facts::Facts;
use routes::apply::REFUSED;
use routes::compare::{InKernel, Shown, in_kernel};
use routes::kernel::observed;
use routes::protocol;
use routes::{Key, Routes};
use state::VerdictLine;

pub(super) fn judge(facts: &Facts) -> Outcome {
    let Some(said) = facts.said()? else { return Ok(Finding::moot("no agent runs here, so no routes are desired")) };
    let kernel = facts.kernel()?;
    let found: Routes = kernel.routes.iter().filter_map(observed).collect();
    let mut wanted = 0;
    let mut problems = Vec::new();
    for line in &said.verdicts {
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
        let why = if key.is_own() {
            "packets to addresses that no pod has leave the node by its default route, and may come back"
        } else {
            "pods of that node are unreachable from this node"
        };
        problems.push(match kernel.routes.iter().find(|route| holds(route, &key)) {
            Some(thief) => stolen(wrong, why, thief),
            None if line.reason == "refused-by-kernel" => refused(wrong, why, line),
            None => Problem::new(
                wrong,
                why,
                "podlan-node doctor --fix has the agent restore it; if it disappears again, another program removes \
                 it: ip monitor route",
            )
            .fixed_by(Fix::WakeAgent),
        });
    }
    Ok(Finding::of(problems, format!("{wanted} of {wanted} desired routes are in the kernel")))
}

/// Whether it is a foreign route in the place of a desired one.
fn holds(route: &Route, key: &Key) -> bool {
    route.protocol != NODE_ROUTE && route.destination == key.destination && route.metric == key.metric
}

/// Another attempt fails as long as the node does not change.
fn refused(wrong: String, why: &str, line: &VerdictLine) -> Problem {
    let said = line.text.split_once(REFUSED).map_or(line.text.as_str(), |(_, said)| said);
    Problem::new(
        format!("{wrong}; the kernel refuses it: {said}"),
        why,
        "see how the kernel reaches that node's address (ip route get ADDRESS) and its gateway; the agent tries again \
         by \
         itself when links, addresses, routes or rules of this node change",
    )
    .left_because("the kernel refuses the route, and would refuse it again")
}

fn stolen(wrong: String, why: &str, thief: &Route) -> Problem {
    Problem::new(
        format!("{wrong}; in its place is `{thief} proto {}`", protocol::name(thief.protocol)),
        format!("{why}; podlan never removes a route that it did not make"),
        format!(
            "find the program that made it (protocol {}: {}), stop it, then: ip {}route del {} metric {} proto {}; \
             the agent restores its own at once",
            thief.protocol,
            protocol::maker(thief.protocol),
            if thief.destination.is_ipv6() { "-6 " } else { "" },
            thief.destination,
            thief.metric,
            thief.protocol,
        ),
    )
}

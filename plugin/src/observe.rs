//! A plan against the kernel: which of its operations would still have something to do.

use std::net::IpAddr;

use netlink::{Address, Family, Known, Link, Neighbour, Route, Selector, Socket, SourceRule};

use crate::apply::link_name;
use crate::error::Error;
use crate::plan::Operation;

/// What one namespace holds of the kinds that a plan makes.
struct Observed {
    addresses: Vec<Address>,
    routes: Vec<Route>,
    rules: Vec<SourceRule>,
}

/// Whether a neighbour that is not known at all is drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// ADD made its entry.
    Drift,
    /// A later plugin changed the pod's MAC, with which both ends forget each other. Each asks when it next needs to know.
    Fine,
}

/// Names each operation whose object is missing or otherwise. `place` is "node" or "pod".
pub(crate) fn differences(
    socket: &mut Socket,
    operations: &[Operation],
    place: &str,
    absent: Absent,
) -> Result<Vec<String>, Error> {
    let observed = Observed::of(socket, operations)?;
    let mut differences = Vec::new();
    for operation in operations {
        let missing = match operation {
            // The alias is for people, and later plugins of a chain may tune what hardening set.
            Operation::Harden { .. } | Operation::Keep(_) => None,
            Operation::Up { device } | Operation::UpAnnouncing { device } => {
                match Link::find(socket, Selector::Index(*device))? {
                    // Of lo the kernel does not know it.
                    Some(link) if link.up && (link.operational || !link.veth) => None,
                    Some(link) if link.up => Some(format!("the link {} is up, but not operational", link.name)),
                    Some(link) => Some(format!("the link {} is down", link.name)),
                    None => Some("the link is missing".to_owned()),
                }
            }
            Operation::Address(address) => {
                let there = observed.addresses.contains(address);
                (!there).then(|| format!("the address {} is missing", address.address))
            }
            // The kernel's own has taken over from the one that ADD made.
            Operation::Accept(accept) => {
                let there = observed.routes.iter().any(|route| accept.is(route));
                (!there).then(|| format!("packets to {} are not accepted: its local route is missing", accept.address))
            }
            // It follows the MAC that the pod had at ADD; a later plugin may have changed that (tuning).
            Operation::Route(route) if is_link_local(route.destination.ip()) => None,
            Operation::Route(route) => {
                let there = observed.routes.iter().any(|other| leads_alike(route, other));
                (!there).then(|| format!("the route {} is missing", route.shown(|index| link_name(socket, index))))
            }
            Operation::Neighbour(neighbour) => {
                let known = Known::ask(socket, neighbour.address, neighbour.device)?;
                unknown(neighbour, known, absent)
            }
            Operation::Rule(rule) => {
                let there = observed.rules.contains(rule);
                (!there).then(|| format!("the rule from {} lookup {} is missing", rule.from, rule.table))
            }
        };
        differences.extend(missing.map(|what| format!("{place}: {what}")));
    }
    Ok(differences)
}

fn unknown(neighbour: &Neighbour, known: Known, absent: Absent) -> Option<String> {
    let address = neighbour.address;
    match known {
        Known::At(mac) if mac == neighbour.mac => None,
        Known::At(_) => Some(format!("the neighbour {address} is known by another MAC")),
        Known::Silent => Some(format!("the neighbour {address} does not answer: its entry is FAILED or INCOMPLETE")),
        Known::Absent if absent == Absent::Fine => None,
        Known::Absent => Some(format!("the neighbour {address} has no entry")),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The same destination by the same way. The table, the metric and who made it are a later plugin's to change: sbr moves
/// the default route to a table of its own.
fn leads_alike(wanted: &Route, found: &Route) -> bool {
    (wanted.destination, wanted.gateway, wanted.device, wanted.kind)
        == (found.destination, found.gateway, found.device, found.kind)
}

impl Observed {
    /// Asks only for what the operations need.
    fn of(socket: &mut Socket, operations: &[Operation]) -> Result<Self, Error> {
        let device = operations.iter().find_map(|operation| match operation {
            Operation::Address(address) => Some(address.device),
            _ => None,
        });
        let mut observed = Self { addresses: Vec::new(), routes: Vec::new(), rules: Vec::new() };
        let Some(device) = device else { return Ok(observed) };
        observed.addresses = socket.dump(Address::dump(device), |message| Address::from_message(&message))?;
        for family in Family::BOTH {
            let keep = |route: &Route| route.device == Some(device);
            let request = Route::dump_by_device(family, device);
            let routes = socket.dump(request, |message| Route::from_message(&message).filter(keep))?;
            observed.routes.extend(routes);
            if operations.iter().any(|operation| matches!(operation, Operation::Rule(_))) {
                let rules = socket.dump(SourceRule::dump(family), |message| SourceRule::from_message(&message))?;
                observed.rules.extend(rules);
            }
        }
        Ok(observed)
    }
}

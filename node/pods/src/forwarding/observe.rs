//! Queries the kernel for what it forwards. Decides nothing.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;
use netlink::{
    Family, ForwardingError, Link, NODE_ROUTE, POD_ROUTE, PROBE_ROUTE, Procfs, Route, RouteKind, Selector, Socket,
    forwards, link_forwards, lost_by_forwarding,
};

use super::Observed;

/// Observes one family; also returns the links that carry packets of pods.
pub fn observe(
    socket: &mut Socket,
    procfs: &Procfs,
    family: Family,
) -> Result<(Observed, BTreeSet<u32>), ForwardingError> {
    let all = forwards(socket, family)?;
    if all.is_none() {
        return Ok((Observed::default(), BTreeSet::new()));
    }
    let routes = socket.dump(Route::dump(family, 0), |message| Route::from_message(&message))?;
    let (pods, carriers) = carriers(&routes);
    let mut seen = Observed { pods, all, ..Observed::default() };
    if pods && family == Family::V4 {
        for link in &carriers {
            if link_forwards(socket, family, *link)? == Some(false)
                && let Some(found) = Link::find(socket, Selector::Index(*link))?
            {
                seen.off.push((*link, found.name));
            }
        }
    }
    if pods && family == Family::V6 && all == Some(false) {
        seen.losses = lost_by_forwarding(socket, procfs)?;
    }
    Ok((seen, carriers))
}

/// Whether a route may lead to a pod of this node or to another node's pods.
pub(crate) fn may_carry(route: &Route) -> bool {
    [POD_ROUTE, NODE_ROUTE].contains(&route.protocol) || is_to_one(route.destination)
}

/// Whether this node has pods, and the links that carry their packets: those to the pods, and those of the routes to
/// other nodes' pods. A pod that podlan adopted has its former plugin's route, to an address of this node's CIDR.
fn carriers(routes: &[Route]) -> (bool, BTreeSet<u32>) {
    let own = |route: &Route| route.protocol == NODE_ROUTE && route.kind == RouteKind::Unreachable;
    let own: Vec<IpNetwork> = routes.iter().filter(|route| own(route)).map(|route| route.destination).collect();
    let is_own = |address: IpNetwork| is_to_one(address) && own.iter().any(|cidr| cidr.contains(address.ip()));
    let (mut pods, mut carriers) = (false, BTreeSet::new());
    for route in routes.iter().filter(|route| route.kind == RouteKind::Unicast) {
        let Some(link) = route.device else { continue };
        let to_probe = route.protocol == PROBE_ROUTE;
        let to_pod = route.protocol == POD_ROUTE || !to_probe && is_own(route.destination);
        pods |= to_pod;
        if to_pod || to_probe || route.protocol == NODE_ROUTE {
            carriers.insert(link);
        }
    }
    (pods, carriers)
}

fn is_to_one(destination: IpNetwork) -> bool {
    destination.prefix() == Family::of(destination.ip()).bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_pods_and_to_peers_carry_and_others_do_not() {
        let by =
            |text: &str, protocol, device| Route { device: Some(device), ..Route::to(text.parse().unwrap(), protocol) };
        let own = Route { kind: RouteKind::Unreachable, ..Route::to("10.244.1.0/24".parse().unwrap(), NODE_ROUTE) };
        let peer = by("10.244.2.0/24", NODE_ROUTE, 2);
        let others = [by("0.0.0.0/0", 16, 3), by("172.31.0.0/24", 2, 2), by("10.9.0.1/32", 3, 4)];
        let at = |more: &[Route]| {
            let (pods, carriers) = carriers(&[&[own.clone(), peer.clone()], &others[..], more].concat());
            (pods, carriers.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(at(&[]), (false, vec![2]));
        assert_eq!(at(&[by("10.244.1.5/32", POD_ROUTE, 7)]), (true, vec![2, 7]));
        assert_eq!(at(&[by("10.244.1.6/32", 3, 8)]), (true, vec![2, 8]), "adopted");
        assert_eq!(at(&[by("10.245.0.5/32", POD_ROUTE, 9)]), (true, vec![2, 9]), "of a pool of one's own");
        assert_eq!(at(&[by("10.244.1.1/32", PROBE_ROUTE, 6)]), (false, vec![2, 6]), "a probe is no pod");
    }
}

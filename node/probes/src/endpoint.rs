//! The probe endpoint as values: what the kernel should have of it, what it has, and the difference. Pure; [`kernel`] observes
//! and obeys.
//!
//! ```text
//!   sockets ── table SEND ──▶ podprobe0 ══ veth ══ podlprobe ── forwarded, filtered, translated as a pod's packet ──▶ peer
//!   sockets ◀── table RECEIVE ── podprobe0 ══════ podlprobe ◀── the route to the probe address ───────────────────── peer
//! ```
//!
//! The address is on no link, so the node neither answers ARP for it nor takes it as a source of its own.
//!
//! A strict reverse path check (rp_filter, firewalld's IPv6_rpfilter, `rpfilter` of iptables) asks for the route back to the
//! packet's source, as if this node sent it: once at the uplink, where the way back is the uplink, and once at the inner end,
//! where it is the inner end. Both ask with the same two addresses, so packets have a class of service ([`CLASS`]) while they
//! are between the sockets and the pair, and only with it the way is the pair.

pub mod kernel;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink::{Family, Hold, LinkRule, Neighbour, PROBE_LINK, PROBE_ROUTE, Route, RouteKind, Scope};

/// The inner end. It has no prefix of podlan's: no rule for pods' links means it.
pub const INNER_LINK: &str = "podprobe0";

/// The tables: how what arrives by the inner end is taken in, and how what is sent from the address leaves.
pub const RECEIVE: u32 = 1_111_001;
/// See [`RECEIVE`].
pub const SEND: u32 = 1_111_002;

/// Before the rules of others, behind the local table.
pub const PRIORITY: u32 = 8;

/// The class of service (TOS, traffic class) of packets at the inner end: no packet between nodes has it. A value that rules of
/// IPv4 take; RFC 8622 calls it lower effort.
pub const CLASS: u8 = 0x04;

/// The gateway of the inner end, which no packet names: it only leads to the outer end's MAC. Other than the pods' gateway.
const GATEWAYS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(169, 254, 1, 2)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2))];

/// `RTN_LOCAL`.
const LOCAL: RouteKind = RouteKind::Other(2);

/// The two ends as the kernel has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The outer end.
    pub outer: End,
    /// The inner end.
    pub inner: End,
}

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its index.
    pub index: u32,
    /// Its MAC.
    pub mac: [u8; 6],
}

/// What the kernel has under the number of the probe endpoint, or should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Routes, in the main table and in our two.
    pub routes: Vec<Route>,
    /// Policy rules.
    pub rules: Vec<LinkRule>,
}

/// What should be, of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Routes and rules.
    pub objects: Objects,
    /// Entries of the neighbour table.
    pub neighbours: Vec<Neighbour>,
}

/// What should be for these addresses.
pub fn desired(ends: Ends, addresses: &[IpAddr]) -> Desired {
    let mut desired = Desired::default();
    for address in addresses.iter().copied() {
        let family = Family::of(address);
        let gateway = GATEWAYS[family.index()];
        let alone = IpNetwork::from(address);
        let everything = match family {
            Family::V4 => IpNetwork::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Family::V6 => IpNetwork::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let everything = IpNetwork::new(everything.ip(), 0).unwrap_or(everything);
        let (outer, inner) = (ends.outer, ends.inner);
        // The kernel gives IPv6 routes this metric where none is asked for.
        let metric = match family {
            Family::V4 => 0,
            Family::V6 => 1024,
        };
        let route = |to, device: u32| Route { device: Some(device), metric, ..Route::to(to, PROBE_ROUTE) };
        let scope = if family == Family::V4 { Scope::Host } else { Scope::Global };
        desired.objects.routes.extend([
            route(alone, outer.index),
            Route { kind: LOCAL, table: RECEIVE, scope, ..route(alone, inner.index) },
            Route { table: SEND, gateway: Some(gateway), onlink: true, ..route(everything, inner.index) },
        ]);
        let rule = |from, incoming: &str, tos, table| LinkRule {
            family,
            from,
            incoming: incoming.to_owned(),
            tos,
            table,
            priority: PRIORITY,
            protocol: PROBE_ROUTE,
        };
        desired.objects.rules.extend([rule(None, INNER_LINK, 0, RECEIVE), rule(Some(address), "lo", CLASS, SEND)]);
        let fixed = |address, mac, device| Neighbour { address, mac, device, hold: Hold::Fixed };
        desired.neighbours.extend([fixed(address, inner.mac, outer.index), fixed(gateway, outer.mac, inner.index)]);
    }
    desired
}

/// A change of a route or a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add the route.
    AddRoute(Route),
    /// Remove the route.
    RemoveRoute(Route),
    /// Add the rule.
    AddRule(LinkRule),
    /// Remove the rule.
    RemoveRule(LinkRule),
}

/// The changes that make `observed` what is desired: removals first, because an address of ours may have moved to a pod.
pub fn plan(desired: &Objects, observed: &Objects) -> Vec<Change> {
    let surplus = observed.rules.iter().filter(|rule| !desired.rules.contains(rule));
    let mut changes: Vec<Change> = surplus.cloned().map(Change::RemoveRule).collect();
    let surplus = observed.routes.iter().filter(|route| !desired.routes.contains(route));
    changes.extend(surplus.cloned().map(Change::RemoveRoute));
    let missing = desired.routes.iter().filter(|route| !observed.routes.contains(route));
    changes.extend(missing.cloned().map(Change::AddRoute));
    let missing = desired.rules.iter().filter(|rule| !observed.rules.contains(rule));
    changes.extend(missing.cloned().map(Change::AddRule));
    changes
}

/// The name of the outer end, for those who look at links.
pub const OUTER_LINK: &str = PROBE_LINK;

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        let end = |index: u8| End { index: index.into(), mac: [2, 0, 0, 0, 0, index] };
        Ends { outer: end(5), inner: end(6) }
    }

    fn both() -> Desired {
        desired(ends(), &["10.244.1.1".parse().unwrap(), "fd00:10:244:1::1".parse().unwrap()])
    }

    #[test]
    fn a_plan_against_what_is_desired_is_empty_and_against_nothing_adds_all_of_it() {
        let Desired { objects, neighbours } = both();
        assert_eq!((objects.routes.len(), objects.rules.len(), neighbours.len()), (6, 4, 4));
        assert_eq!(plan(&objects, &objects), []);
        assert_eq!(plan(&objects, &Objects::default()).len(), 10);
    }

    #[test]
    fn what_is_under_our_number_and_not_desired_goes_first() {
        let objects = both().objects;
        let former = desired(ends(), &["10.244.7.1".parse().unwrap()]).objects;
        let changes = plan(&objects, &former);
        let first_addition =
            changes.iter().position(|change| matches!(change, Change::AddRoute(_) | Change::AddRule(_)));
        let is_removal = |change: &Change| matches!(change, Change::RemoveRoute(_) | Change::RemoveRule(_));
        let last_removal = changes.iter().rposition(is_removal);
        assert!(last_removal < first_addition, "{changes:?}");
        assert_eq!(plan(&Objects::default(), &former).len(), 5, "all of it goes");
    }

    #[test]
    fn no_rule_for_links_of_pods_means_the_inner_end_and_every_one_means_the_outer() {
        assert!(OUTER_LINK.starts_with(netlink::HOST_LINK_PREFIX) && !netlink::is_pod_link(OUTER_LINK));
        assert!(!INNER_LINK.starts_with(netlink::HOST_LINK_PREFIX));
    }
}

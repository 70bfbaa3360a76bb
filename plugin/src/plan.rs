//! The datapath as a value: which kernel objects make a pod reachable, at both ends of its link. ADD applies the plan,
//! CHECK compares the kernel with it. Nothing here asks the kernel anything.
//!
//! ```text
//!  node                                              pod
//!  podl7k2…  169.254.1.1/32 scope link  ◄── veth ──►  eth0  10.244.1.5/32
//!            fe80::1/128                                    fd00:10:244:1::5/128
//!  10.244.1.5/32 dev podl7k2…                         169.254.1.1 dev eth0 scope link
//!  10.244.1.5 lladdr (pod) extern_learn               default via 169.254.1.1 onlink
//!                                                     169.254.1.1 lladdr (node) permanent
//! ```

mod operation;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cni::MacAddress;
use ipnetwork::IpNetwork;
use netlink::{Address, Family, Hardening, Hold, LocalRoute, Neighbour, NeverGivenUp, POD_ROUTE, Route, Scope};
use podlink::{second_table, source_rule};

pub(crate) use operation::Operation;

/// The pods' IPv4 gateway, the same on every link (RFC 3927 range).
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The pods' IPv6 gateway, the same on every link.
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// The pods' gateway of a family.
pub(crate) fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(GATEWAY_V4),
        Family::V6 => IpAddr::V6(GATEWAY_V6),
    }
}

/// The index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// A route that the pod gets, by its gateway or, with link scope, straight by the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodRoute {
    /// Where to.
    pub(crate) destination: IpNetwork,
    /// `RTA_PRIORITY`; 0 for the kernel's default.
    pub(crate) priority: u32,
    /// The routing table, main where none is named.
    pub(crate) table: Option<u32>,
    /// The destination is on the link.
    pub(crate) on_link: bool,
    /// The path MTU.
    pub(crate) mtu: Option<u32>,
    /// The advertised segment size.
    pub(crate) advmss: Option<u32>,
}

impl PodRoute {
    /// The default route of a family.
    pub(crate) fn default_of(family: Family) -> Self {
        let everywhere = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let destination = IpNetwork::from(everywhere);
        Self {
            destination: IpNetwork::new(everywhere, 0).unwrap_or(destination),
            priority: 0,
            table: None,
            on_link: false,
            mtu: None,
            advmss: None,
        }
    }

    fn is_default(&self) -> bool {
        self.destination.prefix() == 0
    }
}

/// Everything that decides what a pod's link looks like.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The pod's addresses, /32 and /128.
    pub(crate) addresses: Vec<IpNetwork>,
    /// The pod's routes.
    pub(crate) routes: Vec<PodRoute>,
    /// The host end's MAC.
    pub(crate) host_mac: MacAddress,
    /// The pod end's MAC.
    pub(crate) pod_mac: MacAddress,
    /// The host end's text for people.
    pub(crate) alias: String,
    /// The source of the node's own traffic to the pod, where the kernel's choice is not wanted.
    pub(crate) host_source: Vec<IpAddr>,
}

/// Which families have a default route by another attachment of the pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Occupied {
    /// IPv4 has one.
    pub(crate) v4: bool,
    /// IPv6 has one.
    pub(crate) v6: bool,
}

impl Occupied {
    fn of(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

impl Plan {
    /// Whether the pod has an address of this family.
    pub(crate) fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|address| family.holds(address.ip()))
    }

    /// The families of the pod's addresses.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        Family::BOTH.into_iter().filter(|family| self.has(*family))
    }

    /// The link-local address that the kernel makes of the pod's MAC (RFC 4291, appendix A).
    fn link_local(&self) -> IpNetwork {
        let [a, b, c, d, e, f] = self.pod_mac.octets().map(u16::from);
        let groups = [(a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe << 8 | d, e << 8 | f];
        IpNetwork::from(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, groups[0], groups[1], groups[2], groups[3])))
    }

    /// The host end's operations, in order: harmless first, then up, then reachable.
    pub(crate) fn host_end(&self, device: u32, hardening: Hardening) -> Vec<Operation> {
        let mut operations =
            vec![Operation::Harden { device, hardening, alias: self.alias.clone() }, Operation::Up { device }];
        for family in self.families() {
            // No fe80::/64: with it every one of 2^64 senders would be routed back to the link, and be a neighbour.
            let address = IpNetwork::from(gateway(family));
            operations.extend(accepted(Address { address, device, link_scope: true }));
            operations.push(Operation::Keep(NeverGivenUp { device, family }));
        }
        if self.has(Family::V6) {
            // What the pod calls itself on the link; the metric keeps apart two links whose pods were given one MAC.
            let route = Route { device: Some(device), metric: device, ..Route::to(self.link_local(), POD_ROUTE) };
            operations.push(Operation::Route(route));
        }
        for address in &self.addresses {
            let source = self.host_source.iter().find(|source| Family::of(**source) == Family::of(address.ip()));
            // Scope global: in scope link the source of the node's own traffic would be 169.254.1.1.
            let route = Route { device: Some(device), source: source.copied(), ..Route::to(*address, POD_ROUTE) };
            operations.push(Operation::Route(route));
        }
        operations
    }

    /// What the node knows of the pod, after both ends are up: the kernel may drop it when the link's state changes.
    pub(crate) fn host_neighbours(&self, device: u32) -> Vec<Operation> {
        let mac = self.pod_mac.octets();
        let of = |address: &IpNetwork| {
            // Learned, not fixed: a later plugin of the chain may change the pod's MAC (tuning), which the pod announces.
            Operation::Neighbour(Neighbour { address: address.ip(), mac, device, hold: Hold::Learned })
        };
        self.addresses.iter().map(of).collect()
    }

    /// The pod end's operations, in order.
    pub(crate) fn pod_end(&self, device: u32, occupied: Occupied) -> Vec<Operation> {
        let mut operations = vec![Operation::Up { device: LOOPBACK }, Operation::UpAnnouncing { device }];
        for &address in &self.addresses {
            operations.extend(accepted(Address { address, device, link_scope: false }));
        }
        for family in self.families() {
            let gateway = gateway(family);
            let second = occupied.of(family);
            let mac = self.host_mac.octets();
            operations.push(Operation::Neighbour(Neighbour { address: gateway, mac, device, hold: Hold::Fixed }));
            if family == Family::V4 {
                // Two links, one gateway address: the metric keeps the two routes apart.
                let metric = if second { device } else { 0 };
                operations.push(Operation::Route(Route { metric, ..to_gateway(gateway, device) }));
            }
            let routes = self.routes.iter().filter(|route| family.holds(route.destination.ip()));
            operations.extend(
                routes.filter(|route| !(second && route.is_default())).map(|route| via_gateway(route, gateway, device)),
            );
            if second {
                operations.extend(self.own_table(family, device));
            }
        }
        operations
    }

    /// What sends a second attachment's replies back by its own link.
    fn own_table(&self, family: Family, device: u32) -> Vec<Operation> {
        let table = second_table(device);
        let everything = PodRoute { table: Some(table), ..PodRoute::default_of(family) };
        let default = via_gateway(&everything, gateway(family), device);
        let of_family = self.addresses.iter().filter(|address| family.holds(address.ip()));
        let rules = of_family.map(|address| Operation::Rule(source_rule(address.ip(), table)));
        std::iter::once(default).chain(rules).collect()
    }
}

/// Puts an address on a link, and has it accepted at once.
fn accepted(address: Address) -> impl Iterator<Item = Operation> {
    let accept = match address.address.ip() {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(Operation::Accept(LocalRoute { address: ip, device: address.device })),
    };
    std::iter::once(Operation::Address(address)).chain(accept)
}

fn to_gateway(gateway: IpAddr, device: u32) -> Route {
    Route { device: Some(device), scope: Scope::Link, ..Route::to(IpNetwork::from(gateway), POD_ROUTE) }
}

fn via_gateway(route: &PodRoute, gateway: IpAddr, device: u32) -> Operation {
    let plain = Route::to(route.destination, POD_ROUTE);
    Operation::Route(Route {
        // On link: no waiting for the pod's own link-local address, no need of a route to the gateway.
        gateway: (!route.on_link).then_some(gateway),
        onlink: !route.on_link,
        scope: if route.on_link { Scope::Link } else { Scope::Global },
        device: Some(device),
        metric: route.priority,
        table: route.table.unwrap_or(plain.table),
        mtu: route.mtu,
        advmss: route.advmss,
        ..plain
    })
}

#[cfg(test)]
mod tests;

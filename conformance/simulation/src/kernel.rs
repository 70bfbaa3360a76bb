//! A node's kernel as far as podlan uses it: links, addresses, routes with metric and protocol, rules, the lookup of a route,
//! and the events of changes. It answers as Linux does, errors included; tests/kernel_model.rs compares it with the kernel of
//! the machine.

mod change;
mod face;
mod lookup;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::{Address, Event, Route, RouteKind, Scope};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State};

pub use face::Work;

/// `RT_TABLE_MAIN` and `RT_TABLE_LOCAL`.
pub const MAIN: u32 = 254;
/// The table of the addresses of this node.
pub const LOCAL: u32 = 255;

/// `RTPROT_KERNEL`.
pub const PROTO_KERNEL: u8 = 2;

/// The loopback link's index.
pub const LOOPBACK: u32 = 1;

/// The metric of a route of the kernel's own for an IPv6 subnet (`IP6_RT_PRIO_ADDRCONF`).
const PRIO_ADDRCONF: u32 = 256;

/// The metric that IPv6 gives a route without one (`IP6_RT_PRIO_USER`).
pub const PRIO_USER: u32 = 1024;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// `IFF_UP`.
    pub up: bool,
    /// `IFF_LOWER_UP`.
    pub carrier: bool,
    /// In bytes.
    pub mtu: u32,
}

/// A policy rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Lower is asked first.
    pub priority: u32,
    /// The table that is looked into.
    pub table: u32,
    /// Only for destinations in this subnet.
    pub to: Option<IpNetwork>,
}

/// The routes of one table, by destination; those of one destination by metric, of one metric in the order of their making.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: BTreeMap<IpNetwork, Vec<Route>>,
    /// How many destinations there are of each family (IPv4 is true) and prefix length.
    lengths: BTreeMap<(bool, u8), usize>,
}

/// The kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// By index.
    pub links: BTreeMap<u32, Link>,
    /// In the order in which they were added.
    pub addresses: Vec<Address>,
    tables: BTreeMap<u32, Table>,
    /// In the order in which they are asked.
    pub rules: Vec<Rule>,
    /// Events that nobody has read yet.
    pub events: Vec<Event>,
    /// What was asked of it.
    pub work: Work,
    /// So many requests fail, as when the socket has no memory.
    pub failing: u32,
    next_link: u32,
    /// A rule was added: until then IPv4 looks into the main table for local addresses too (`fib_unmerge`).
    is_unmerged: bool,
}

impl Table {
    /// All routes, by destination.
    pub fn all(&self) -> impl Iterator<Item = &Route> {
        self.routes.values().flatten()
    }

    /// Those to one destination.
    pub fn to(&self, destination: IpNetwork) -> &[Route] {
        self.routes.get(&destination).map_or(&[], Vec::as_slice)
    }

    fn insert(&mut self, route: Route) {
        let length = (route.destination.is_ipv4(), route.destination.prefix());
        let routes = self.routes.entry(route.destination).or_default();
        if routes.is_empty() {
            *self.lengths.entry(length).or_default() += 1;
        }
        // IPv4 puts a new route in front of those of its metric, IPv6 behind.
        let is_v4 = route.destination.is_ipv4();
        let place = routes
            .iter()
            .position(|other| if is_v4 { other.metric >= route.metric } else { other.metric > route.metric });
        routes.insert(place.unwrap_or(routes.len()), route);
    }

    fn retain(&mut self, mut keeps: impl FnMut(&Route) -> bool) -> Vec<Route> {
        let mut gone = Vec::new();
        for routes in self.routes.values_mut() {
            routes.retain(|route| {
                let keep = keeps(route);
                if !keep {
                    gone.push(route.clone());
                }
                keep
            });
        }
        if !gone.is_empty() {
            self.routes.retain(|_, routes| !routes.is_empty());
            self.lengths.clear();
            for destination in self.routes.keys() {
                *self.lengths.entry((destination.is_ipv4(), destination.prefix())).or_default() += 1;
            }
        }
        gone
    }

    fn remove_at(&mut self, destination: IpNetwork, index: usize) -> Option<Route> {
        let routes = self.routes.get_mut(&destination)?;
        let route = routes.remove(index);
        if routes.is_empty() {
            self.routes.remove(&destination);
            let length = (destination.is_ipv4(), destination.prefix());
            if let Some(count) = self.lengths.get_mut(&length) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&length);
                }
            }
        }
        Some(route)
    }
}

impl Default for Kernel {
    fn default() -> Self {
        let lo = Link { name: "lo".to_owned(), up: true, carrier: true, mtu: 65_536 };
        let rule = |priority, table| Rule { priority, table, to: None };
        let mut kernel = Self {
            links: [(LOOPBACK, lo)].into(),
            addresses: Vec::new(),
            tables: BTreeMap::new(),
            rules: vec![rule(0, LOCAL), rule(32_766, MAIN), rule(32_767, 253)],
            events: Vec::new(),
            work: Work::default(),
            failing: 0,
            next_link: 2,
            is_unmerged: false,
        };
        kernel.tables.entry(LOCAL).or_default();
        kernel.tables.entry(MAIN).or_default();
        kernel
    }
}

impl Kernel {
    /// A table; an empty one where there is none.
    pub fn table(&self, number: u32) -> Option<&Table> {
        self.tables.get(&number)
    }

    /// The main table's routes.
    pub fn main(&self) -> impl Iterator<Item = &Route> {
        self.tables.get(&MAIN).into_iter().flat_map(Table::all)
    }

    /// The index of the link of this name.
    pub fn link_named(&self, name: &str) -> Option<u32> {
        self.links.iter().find(|(_, link)| link.name == name).map(|(index, _)| *index)
    }

    /// Whether the node has the address, on whatever link.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address.ip() == address)
    }

    /// Makes a link that is up; returns its index.
    pub fn add_link(&mut self, name: &str, mtu: u32) -> u32 {
        let index = self.next_link;
        self.add_link_at(index, name, mtu);
        index
    }

    /// The same with an index that the caller chooses.
    pub fn add_link_at(&mut self, index: u32, name: &str, mtu: u32) {
        self.next_link = self.next_link.max(index + 1);
        self.links.insert(index, Link { name: name.to_owned(), up: true, carrier: true, mtu });
        self.link_event(index);
    }

    /// Removes a link with all that goes by it.
    pub fn remove_link(&mut self, index: u32) {
        self.set_up(index, false);
        for address in self.addresses.clone().iter().filter(|address| address.device == index) {
            self.remove_address(address);
        }
        if let Some(link) = self.links.remove(&index) {
            let event = RouteNetlinkMessage::DelLink(link_message(index, &link));
            self.events.push(Event::Changed(Box::new(event)));
        }
    }

    /// `ip link set LINK mtu MTU`.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) {
        if let Some(link) = self.links.get_mut(&index) {
            link.mtu = mtu;
            self.link_event(index);
        }
    }

    /// The cable is plugged in, or pulled. Routes stay.
    pub fn set_carrier(&mut self, index: u32, carrier: bool) {
        if let Some(link) = self.links.get_mut(&index).filter(|link| link.carrier != carrier) {
            link.carrier = carrier;
            self.link_event(index);
        }
    }

    /// `ip link set LINK up`, or `down`: the routes by it go; IPv4 addresses stay, and their routes come back with the link.
    pub fn set_up(&mut self, index: u32, up: bool) {
        let Some(link) = self.links.get_mut(&index).filter(|link| link.up != up) else { return };
        link.up = up;
        self.link_event(index);
        if up {
            for address in self.addresses.clone().iter().filter(|address| address.device == index) {
                self.connect(address);
            }
            return;
        }
        let v6: Vec<Address> =
            self.addresses.iter().filter(|own| own.device == index && own.address.is_ipv6()).cloned().collect();
        v6.iter().for_each(|address| self.remove_address(address));
        for table in self.tables.values_mut() {
            let by_link = |route: &Route| route.device == Some(index) && route.kind != RouteKind::Other(2);
            for gone in table.retain(|route| !by_link(route)) {
                // IPv4 routes go without an event.
                if gone.destination.is_ipv6() {
                    self.events.push(Event::Changed(Box::new(gone.went())));
                }
            }
        }
    }

    /// `ip address add`; false where the node has it.
    pub fn add_address(&mut self, address: Address) -> bool {
        if self.addresses.iter().any(|own| own.device == address.device && own.address == address.address) {
            return false;
        }
        self.addresses.push(address.clone());
        self.events.push(Event::Changed(Box::new(address.came())));
        let host = IpNetwork::from(address.address.ip());
        let local = Route {
            kind: RouteKind::Other(2),
            table: LOCAL,
            device: Some(address.device),
            scope: if address.address.is_ipv4() { Scope::Host } else { Scope::Global },
            ..Route::to(host, PROTO_KERNEL)
        };
        self.put(local);
        if self.links.get(&address.device).is_some_and(|link| link.up) {
            self.connect(&address);
        }
        true
    }

    /// `ip address del`.
    pub fn remove_address(&mut self, address: &Address) {
        let before = self.addresses.len();
        self.addresses.retain(|own| own != address);
        if self.addresses.len() == before {
            return;
        }
        self.events.push(Event::Changed(Box::new(address.went())));
        let (ip, index) = (address.address.ip(), address.device);
        let subnet = network(address.address);
        let is_shared = self.addresses.iter().any(|own| own.device == index && network(own.address) == subnet);
        for table in self.tables.values_mut() {
            let goes = |route: &Route| {
                let is_local = route.table == LOCAL && route.destination.ip() == ip && route.device == Some(index);
                let is_connected = route.protocol == PROTO_KERNEL
                    && route.table == MAIN
                    && route.destination == subnet
                    && route.device == Some(index)
                    && !is_shared;
                is_local || is_connected || route.source == Some(ip)
            };
            for gone in table.retain(|route| !goes(route)) {
                self.events.push(Event::Changed(Box::new(gone.went())));
            }
        }
        // With its last IPv4 address a link loses its IPv4 routes, without events (`fib_disable_ip`).
        let is_left = self.addresses.iter().any(|own| own.device == index && own.address.is_ipv4());
        if ip.is_ipv4() && !is_left {
            for table in self.tables.values_mut() {
                drop(table.retain(|route| route.destination.is_ipv6() || route.device != Some(index)));
            }
        }
    }

    /// `ip rule add`.
    pub fn add_rule(&mut self, rule: Rule) {
        self.is_unmerged = true;
        self.rules.push(rule);
        self.rules.sort();
        self.events.push(Event::Rules);
    }

    /// `ip rule del`.
    pub fn remove_rule(&mut self, rule: Rule) {
        if let Some(place) = self.rules.iter().position(|known| *known == rule) {
            self.rules.remove(place);
            self.events.push(Event::Rules);
        }
    }

    /// The route of a subnet that the kernel makes for an address.
    fn connect(&mut self, address: &Address) {
        let subnet = network(address.address);
        let host = if subnet.is_ipv4() { 32 } else { 128 };
        let route = Route {
            device: Some(address.device),
            source: subnet.is_ipv4().then(|| address.address.ip()),
            scope: if subnet.is_ipv4() { Scope::Link } else { Scope::Global },
            metric: if subnet.is_ipv4() { 0 } else { PRIO_ADDRCONF },
            ..Route::to(subnet, PROTO_KERNEL)
        };
        let is_there = |kernel: &Self| {
            kernel.tables.get(&MAIN).is_some_and(|main| {
                main.to(subnet).iter().any(|other| other.protocol == PROTO_KERNEL && other.device == route.device)
            })
        };
        if subnet.prefix() < host && !is_there(self) || subnet.is_ipv6() && !is_there(self) {
            self.put(route);
        }
    }

    /// Makes a route as the kernel itself does.
    fn put(&mut self, route: Route) {
        self.events.push(Event::Changed(Box::new(route.came())));
        self.tables.entry(route.table).or_default().insert(route);
    }

    fn link_event(&mut self, index: u32) {
        if let Some(link) = self.links.get(&index) {
            let event = RouteNetlinkMessage::NewLink(link_message(index, link));
            self.events.push(Event::Changed(Box::new(event)));
        }
    }
}

/// A subnet with its host bits cleared.
pub fn network(of: IpNetwork) -> IpNetwork {
    IpNetwork::new(of.network(), of.prefix()).unwrap_or(of)
}

pub(crate) fn link_message(index: u32, link: &Link) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    let is_alive = link.up && link.carrier;
    if link.up {
        message.header.flags |= LinkFlags::Up;
    }
    if is_alive {
        message.header.flags |= LinkFlags::LowerUp | LinkFlags::Running;
    }
    message.attributes = vec![
        LinkAttribute::IfName(link.name.clone()),
        LinkAttribute::Mtu(link.mtu),
        LinkAttribute::OperState(if is_alive { State::Up } else { State::Down }),
    ];
    message
}

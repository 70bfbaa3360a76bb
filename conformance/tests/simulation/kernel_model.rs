//! The same operations on the simulation's model of a kernel and on the kernel of this machine: what is refused and why, which
//! routes there are after each, and which of them an address takes.
//!
//! ```text
//!   node1..8: eth0 ── LAN
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use netlink::{Address, Family, FibEntry, KernelError, Link, NODE_ROUTE, Route, RouteKind, Scope, Selector, Socket};
use nix::errno::Errno;
use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use routes::kernel::Kernel as _;
use simulation::kernel::{Kernel, MAIN};
use simulation::random::mix;

/// Operations of one sequence, and sequences, each on a node of its own.
const OPERATIONS: u64 = 60;
const SEQUENCES: u8 = 8;

/// An operation.
#[derive(Clone, Debug)]
enum Operation {
    Add(Route),
    Replace(Route),
    Remove(Route),
    AddAddress(Address),
    RemoveAddress(Address),
    Switch(bool),
}

/// The kernel, and its model.
struct Both<'a> {
    node: &'a Node,
    model: Kernel,
    eth0: u32,
    own: Vec<IpAddr>,
}

/// What is compared of a route.
type Shape = (IpNetwork, u32, String, Option<IpAddr>, Option<u32>, u8, bool);

fn shape(route: &Route) -> Shape {
    let device = route.device.filter(|_| !route.kind.leads_nowhere());
    (route.destination, route.metric, route.kind.to_string(), route.gateway, device, route.protocol, route.onlink)
}

/// What an address takes.
type Taken = Result<(u8, u32, u8, String), Errno>;

/// The routes of a table, and what each asked address takes.
type State = (BTreeSet<Shape>, Vec<Taken>);

fn taken(answer: Result<FibEntry, KernelError>) -> Taken {
    let entry = answer.map_err(|refused| refused.errno)?;
    let onward = format!("{:?} {:?}", entry.kind, entry.onward);
    Ok((entry.prefix, entry.table, entry.protocol, onward))
}

/// Whether a route belongs to what every link has by itself in IPv6.
fn is_of_the_link(route: &Route) -> bool {
    matches!(route.destination.ip(), IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_multicast())
}

impl<'a> Both<'a> {
    fn new(node: &'a Node) -> Result<Self, Error> {
        let mut model = Kernel::default();
        let (eth0, addresses, routes) = node.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let eth0 = Link::index(&socket, "eth0").unwrap().unwrap();
            let addresses = socket.dump(Address::dump(eth0), |message| Address::from_message(&message)).unwrap();
            (eth0, addresses, routes_of(&mut socket))
        })?;
        model.add_link_at(eth0, "eth0", 1500);
        let own = addresses.iter().filter(|own| !own.link_scope).map(|own| own.address.ip()).collect();
        addresses.into_iter().filter(|own| !own.link_scope).for_each(|own| {
            model.add_address(own);
        });
        for route in routes.into_iter().filter(|route| route.protocol != 2) {
            model.add_route(route).unwrap();
        }
        Ok(Self { node, model, eth0, own })
    }

    fn operation(&self, seed: u64, number: u64) -> Operation {
        let pick = |what: u64, of: usize| usize::try_from(mix(&[seed, number, what]) % of as u64).unwrap();
        let v4 = pick(0, 5) < 3;
        let own = self.own.iter().copied().find(|own| own.is_ipv4() == v4).unwrap();
        let beside = |by: u8| -> IpAddr {
            match own {
                IpAddr::V4(own) => {
                    let [a, b, c, _] = own.octets();
                    [a, b, c, by].into()
                }
                IpAddr::V6(own) => {
                    let mut segments = own.segments();
                    segments[7] = u16::from(by);
                    segments.into()
                }
            }
        };
        let parse = |four: &str, six: &str| -> IpNetwork { if v4 { four } else { six }.parse().unwrap() };
        let destination = match pick(1, 7) {
            0 => parse("10.244.0.0/24", "fd00:10:244::/64"),
            1 => parse("10.244.1.0/24", "fd00:10:244:1::/64"),
            2 => parse("10.244.0.0/16", "fd00:10:244::/48"),
            3 => parse("203.0.113.1/32", "2001:db8::1/128"),
            4 => parse("203.0.113.0/24", "2001:db8::/64"),
            5 => IpNetwork::from(beside(77)),
            _ => parse("198.51.100.0/24", "2001:db8:1::/64"),
        };
        let gateway = match pick(2, 8) {
            0..4 => beside(200 + u8::try_from(pick(3, 3)).unwrap()),
            4 => beside(77),
            5 => parse("203.0.113.1/32", "2001:db8::1/128").ip(),
            6 => parse("198.51.100.9/32", "2001:db8:1::9/128").ip(),
            _ => own,
        };
        let metric = [110, 110, 110, 50, u32::MAX, 0][pick(4, 6)];
        let protocol = [NODE_ROUTE, NODE_ROUTE, 4][pick(5, 3)];
        let plain = Route { metric, ..Route::to(destination, protocol) };
        let hop = Route { gateway: Some(gateway), device: Some(self.eth0), ..plain.clone() };
        let route = match pick(6, 10) {
            0..5 => hop,
            5 => Route { onlink: true, ..hop },
            6 => Route { gateway: None, scope: if v4 { Scope::Link } else { Scope::Global }, ..hop },
            7 => Route { kind: RouteKind::Other(6), ..plain },
            _ => Route { kind: RouteKind::Unreachable, ..plain },
        };
        let another = |last: u8| Address {
            address: parse(&format!("192.0.2.{last}/24"), &format!("2001:db8:2::{last}/64")),
            device: self.eth0,
            link_scope: false,
        };
        match pick(7, 20) {
            0..8 => Operation::Add(route),
            8..12 => Operation::Replace(route),
            12..16 => {
                // As the agent removes: whatever kind it has.
                let kind = RouteKind::Other(0);
                let any = Route { kind, ..Route::to(destination, protocol) };
                Operation::Remove(Route { metric, ..any })
            }
            16 => Operation::AddAddress(another(1 + u8::try_from(pick(8, 2)).unwrap())),
            17 => Operation::RemoveAddress(another(1 + u8::try_from(pick(8, 2)).unwrap())),
            18 => Operation::Switch(false),
            _ => Operation::Switch(true),
        }
    }

    /// What the kernel answers, and what the model does.
    fn make(&mut self, operation: &Operation) -> Result<[Result<(), Errno>; 2], Error> {
        let request = |request: netlink::Request| {
            let answer =
                self.node.place().enter(move || Socket::open().unwrap().request(&mut [request]).unwrap().remove(0));
            answer.map(|answer| answer.map_err(|refused| refused.errno))
        };
        Ok(match operation {
            Operation::Add(route) => [request(route.add())?, self.model.add_route(route.clone())],
            Operation::Replace(route) => [request(route.replace())?, self.model.replace_route(route.clone()).map(drop)],
            Operation::Remove(route) => [request(route.remove())?, self.model.remove_route(route).map(drop)],
            Operation::AddAddress(address) => {
                let is_new = self.model.add_address(address.clone());
                [request(address.add())?, if is_new { Ok(()) } else { Err(Errno::EEXIST) }]
            }
            Operation::RemoveAddress(address) => {
                let is_there = self.model.addresses.contains(address);
                self.model.remove_address(address);
                [request(address.remove())?, if is_there { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }]
            }
            Operation::Switch(up) => {
                self.node.place().switch("eth0", *up)?;
                if *up {
                    let is_up = || {
                        let link = self
                            .node
                            .place()
                            .enter(|| Link::find(&mut Socket::open().unwrap(), Selector::Name("eth0")).unwrap());
                        let link = link.map_err(|error| error.to_string())?;
                        link.filter(|link| link.operational).map(drop).ok_or_else(|| "it is not".to_owned())
                    };
                    eventually(Duration::from_secs(20), "eth0 passes packets", is_up)?;
                }
                self.model.set_up(self.eth0, *up);
                [Ok(()), Ok(())]
            }
        })
    }

    /// The main table, and what some addresses take: the kernel's and the model's.
    fn state(&mut self) -> Result<[State; 2], Error> {
        let asked: Vec<IpAddr> = [
            "10.244.0.9",
            "10.244.1.9",
            "203.0.113.1",
            "198.51.100.9",
            "fd00:10:244::9",
            "fd00:10:244:1::9",
            "2001:db8::1",
            "2001:db8:1::9",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .chain(self.own.iter().copied())
        .collect();
        let real = self.node.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let routes = routes_of(&mut socket);
            let answers = FibEntry::ask(&mut socket, &asked).unwrap();
            (routes.iter().map(shape).collect(), answers.into_iter().map(taken).collect())
        })?;
        let answers = self.model.entries(&asked).unwrap();
        let model = (self.model.main().map(shape).collect(), answers.into_iter().map(taken).collect());
        Ok([real, model])
    }
}

fn routes_of(socket: &mut Socket) -> Vec<Route> {
    let all = Family::BOTH
        .map(|family| socket.dump(Route::dump(family, 0), |message| Route::from_message(&message)).unwrap());
    all.into_iter().flatten().filter(|route| route.table == MAIN && !is_of_the_link(route)).collect()
}

#[test]
fn the_model_refuses_keeps_and_finds_what_the_kernel_does() {
    within(|| {
        let seed = std::env::var("PODLAN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        let lab = Lab::new(SEQUENCES)?;
        for (sequence, node) in (0..).zip(lab.nodes()) {
            let mut both = Both::new(node)?;
            let mut made = Vec::new();
            for number in 0..OPERATIONS {
                let operation = both.operation(mix(&[seed, sequence]), number);
                let [real, model] = both.make(&operation)?;
                made.push(format!("{operation:?}: {real:?}"));
                assert_eq!(
                    real,
                    model,
                    "kernel and model, PODLAN_SEED={seed}, sequence {sequence}:\n{}",
                    made.join("\n")
                );
                let [real, model] = both.state()?;
                assert_eq!(
                    real,
                    model,
                    "kernel and model, PODLAN_SEED={seed}, sequence {sequence}:\n{}",
                    made.join("\n")
                );
            }
        }
        Ok(())
    });
}

//! The netlink crate on the real kernel: objects read back as they were requested, and refusals are reported.
//!
//! ```text
//!   node1: podltest ── veth ── (pod) eth0
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use ipnetwork::IpNetwork;
use netlink::wire::{Attribute, write};
use netlink::{
    Address, Event, Family, FibEntry, Hardening, Hold, Link, Looked, Lookup, Monitor, NODE_ROUTE, Neighbour, NewVeth,
    Onward, POD_ROUTE, Route, RouteKind, Scope, Selector, Socket, SourceRule,
};
use nix::errno::Errno;
use nix::sys::socket::{NetlinkAddr, getsockname};
use podlan_conformance::lab::{Lab, within};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// In the node's namespace: makes the pair; returns the socket and the near end's index.
fn pair(netns: &Path) -> (Socket, u32) {
    let netns = File::open(netns).unwrap();
    let mut socket = Socket::open().unwrap();
    let pair = NewVeth {
        name: "podltest",
        mac: MAC,
        group: 77,
        peer_name: "eth0",
        peer_mac: PEER_MAC,
        peer_netns: netns.as_fd(),
        mtu: 1400,
    };
    assert_eq!(socket.request(&mut [pair.add()]).unwrap(), [Ok(())]);
    let index = Link::index(&socket, "podltest").unwrap().unwrap();
    (socket, index)
}

fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_veth_pair_is_created_as_requested() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let pod = node.pod("web")?;
        node.place().enter(|| {
            let (mut socket, index) = pair(pod.netns());
            let link = socket.get(Link::get(Selector::Name("podltest"))).unwrap().unwrap();
            let link = Link::from_message(&link).unwrap();
            assert_eq!((link.index, link.mac.as_slice(), link.mtu, link.group), (index, &MAC[..], 1400, 77));
            assert!(link.veth && !link.up);
            let mut changes = [
                Link::harden(
                    index,
                    Hardening { forward_v4: false, kernel_has_v6: true, route_localnet: false },
                    "podlan test",
                ),
                Link::up(index),
            ];
            assert_eq!(socket.request(&mut changes).unwrap(), [Ok(()), Ok(())]);
            let link = socket.get(Link::get(Selector::Index(index))).unwrap().unwrap();
            let link = Link::from_message(&link).unwrap();
            assert_eq!((link.alias.as_str(), link.up), ("podlan test", true));
            for (setting, value) in [("rp_filter", "1"), ("accept_redirects", "0"), ("send_redirects", "0")] {
                let path = format!("/proc/sys/net/ipv4/conf/podltest/{setting}");
                assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), value, "{path}");
            }
            let path = "/proc/sys/net/ipv6/conf/podltest/addr_gen_mode";
            assert_eq!(std::fs::read_to_string(path).unwrap().trim(), "1", "{path}");
        })?;
        pod.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let link = socket.get(Link::get(Selector::Name("eth0"))).unwrap().unwrap();
            let link = Link::from_message(&link).unwrap();
            assert_eq!((link.mac.as_slice(), link.mtu), (&PEER_MAC[..], 1400));
        })
    });
}

#[test]
fn kernel_objects_read_back_as_they_were_requested() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let pod = node.pod("web")?;
        node.place().enter(|| {
            let (mut socket, device) = pair(pod.netns());
            let up = socket.request(&mut [Link::up(device)]).unwrap();
            assert_eq!(up, [Ok(())]);
            let addresses = [
                Address { address: net("169.254.1.1/32"), device, link_scope: true },
                Address { address: net("fe80::1/64"), device, link_scope: true },
            ];
            let routes = [
                Route { device: Some(device), ..Route::to(net("10.1.0.5/32"), POD_ROUTE) },
                Route { device: Some(device), metric: 9, ..Route::to(net("fd00::5/128"), POD_ROUTE) },
                Route {
                    gateway: Some(ip("192.168.9.9")),
                    device: Some(device),
                    onlink: true,
                    metric: 50,
                    mtu: Some(1300),
                    advmss: Some(1200),
                    ..Route::to(net("10.2.0.0/24"), POD_ROUTE)
                },
                Route { device: Some(device), scope: Scope::Link, ..Route::to(net("10.3.0.0/24"), POD_ROUTE) },
            ];
            let neighbours = [
                Neighbour { address: ip("10.1.0.5"), mac: PEER_MAC, device, hold: Hold::Fixed },
                Neighbour { address: ip("fd00::5"), mac: PEER_MAC, device, hold: Hold::Learned },
            ];
            let rule = SourceRule { from: ip("10.1.0.5"), table: 11_203, priority: 11_200, protocol: POD_ROUTE };
            let mut requests: Vec<_> = addresses.iter().map(Address::add).collect();
            requests.extend(routes.iter().map(Route::add));
            requests.extend(neighbours.iter().map(Neighbour::replace));
            requests.push(rule.add());
            let verdicts = socket.request(&mut requests).unwrap();
            assert!(verdicts.iter().all(Result::is_ok), "{verdicts:?}");

            let found = socket.dump(Address::dump(device), |message| Address::from_message(&message)).unwrap();
            assert_eq!(found, addresses);
            let mut found = Vec::new();
            for family in Family::BOTH {
                found.extend(
                    socket.dump(Route::dump(family, POD_ROUTE), |message| Route::from_message(&message)).unwrap(),
                );
            }
            found.sort();
            let mut wanted = routes.to_vec();
            wanted.sort();
            assert_eq!(found, wanted);
            for neighbour in &neighbours {
                let found = socket.get(neighbour.get()).unwrap().unwrap();
                assert_eq!(Neighbour::from_message(&found).as_ref(), Some(neighbour));
            }
            let rules =
                socket.dump(SourceRule::dump(Family::V4), |message| SourceRule::from_message(&message)).unwrap();
            assert_eq!(rules, std::slice::from_ref(&rule));
            let forget = SourceRule { table: 0, ..rule };
            assert_eq!(socket.request(&mut [forget.remove()]).unwrap(), [Ok(())]);
            let found = socket.get(Lookup::Entry.of(ip("10.2.0.77"))).unwrap().unwrap();
            assert_eq!(Route::from_message(&found).unwrap().destination, net("10.2.0.0/24"));
        })
    });
}

#[test]
fn each_request_has_its_own_result_with_the_kernels_error_text() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let device = Link::index(&socket, "eth0").unwrap().unwrap();
            let good = Route { device: Some(device), ..Route::to(net("10.9.0.0/24"), NODE_ROUTE) };
            let lost = Route { gateway: Some(ip("10.77.0.1")), ..Route::to(net("10.8.0.0/24"), NODE_ROUTE) };
            let mut requests = [good.add(), lost.add(), good.add(), good.remove(), good.remove()];
            let verdicts = socket.request(&mut requests).unwrap();
            let errnos: Vec<_> = verdicts.iter().map(|verdict| verdict.as_ref().err().map(|e| e.errno)).collect();
            assert_eq!(errnos, [None, Some(Errno::ENETUNREACH), Some(Errno::EEXIST), None, Some(Errno::ESRCH)]);
            let words = verdicts[1].as_ref().unwrap_err().to_string();
            assert_eq!(words, "Nexthop has invalid gateway (ENETUNREACH)");
            let missing = socket.get(Link::get(Selector::Name("nobody"))).unwrap().unwrap_err();
            assert_eq!(missing.errno, Errno::ENODEV);
        })
    });
}

/// Only the kernel's "not found" errors for routes and links count as none: any other answer is an error.
#[test]
fn only_not_found_errors_mean_no_route_or_no_link() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let kinds = [(ip("10.1.0.1"), 6), (ip("10.2.0.1"), 7), (ip("10.3.0.1"), 8), (ip("10.4.0.1"), 9)];
            for (address, kind) in kinds {
                let route = Route { kind: RouteKind::Other(kind), ..Route::to(IpNetwork::from(address), NODE_ROUTE) };
                assert_eq!(socket.request(&mut [route.add()]).unwrap(), [Ok(())], "{kind}");
                assert_eq!(Route::ask(&mut socket, Lookup::Entry, address).unwrap(), None, "{kind}");
            }
            assert_eq!(Route::ask(&mut socket, Lookup::Packet, ip("203.0.113.1")).unwrap(), None);
            assert_eq!(Link::index(&socket, "nobody").unwrap(), None);
        })
    });
}

#[test]
fn an_ipv4_route_via_an_ipv6_next_hop_reads_back_and_each_of_many_requests_has_its_answer() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let device = Link::index(&socket, "eth0").unwrap();
            let unnumbered = Route {
                gateway: Some(ip("fe80::9")),
                device,
                metric: 110,
                ..Route::to(net("10.9.0.0/24"), NODE_ROUTE)
            };
            assert_eq!(socket.request(&mut [unnumbered.add()]).unwrap(), [Ok(())]);
            let found =
                socket.dump(Route::dump(Family::V4, NODE_ROUTE), |message| Route::from_message(&message)).unwrap();
            assert_eq!(found, [unnumbered]);
            let addresses: Vec<IpAddr> = (0..5000u32)
                .map(|number| match number % 3 {
                    0 => IpAddr::V4((0x0a09_0000 + number % 250).into()),
                    1 => ip("172.31.0.77"),
                    _ => ip("203.0.113.7"),
                })
                .collect();
            let began = std::time::Instant::now();
            let answers = FibEntry::ask(&mut socket, &addresses).unwrap();
            println!("5,000 questions: {:?}", began.elapsed());
            assert_eq!(answers.len(), 5000);
            for (number, answer) in answers.iter().enumerate() {
                match (number % 3, answer) {
                    (0, Ok(entry)) => assert_eq!(
                        entry.onward,
                        Onward::Hop { gateway: Some(ip("fe80::9")), device: device.unwrap(), onlink: false }
                    ),
                    (1, Ok(entry)) => assert_eq!((entry.prefix, entry.protocol), (24, 2)),
                    (2, Err(refused)) => assert_eq!(refused.errno, Errno::ENETUNREACH),
                    _ => panic!("{number}: {answer:?}"),
                }
            }
        })
    });
}

#[test]
fn the_kernel_names_the_table_that_decides_for_both_families() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.shell("ip route add 10.9.0.0/24 dev eth0 table 52 && ip rule add to 10.9.0.0/24 lookup 52 pref 50")?;
        node.shell("ip -6 route add fd99::/64 dev eth0 table 52 && ip -6 rule add to fd99::/64 lookup 52 pref 50")?;
        node.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let addresses = ["10.9.0.1", "172.31.0.77", "fd99::1", "fd31::77"].map(ip);
            let table = |answer: &Result<FibEntry, _>| answer.as_ref().unwrap().table;
            let answers = FibEntry::ask(&mut socket, &addresses).unwrap();
            assert_eq!(answers.iter().map(table).collect::<Vec<_>>(), [52, 254, 52, 254]);
            let packets = addresses.map(|destination| Looked { destination, source: None, incoming: None });
            let answers = FibEntry::ask_for(&mut socket, &packets).unwrap();
            assert_eq!(answers.iter().map(table).collect::<Vec<_>>(), [52, 254, 52, 254]);
        })
    });
}

#[test]
fn the_monitor_reports_changes_of_rules_and_nexthop_objects() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let mut monitor = node.place().enter(|| Monitor::open().unwrap())?;
        let script = "ip rule add to 192.0.2.1 lookup 100; ip -6 rule add to fd99::1 lookup 100; ip nexthop add id 7 dev eth0; ip nexthop del id 7";
        node.command("sh").args(["-c", script]).succeeds()?;
        let (mut rules, mut objects) = (0, 0);
        while let Some(events) = monitor.read().unwrap() {
            rules += events.iter().filter(|event| matches!(event, Event::Rules)).count();
            objects += events.iter().filter(|event| matches!(event, Event::Nexthops)).count();
        }
        assert_eq!((rules, objects), (2, 2));
        Ok(())
    });
}

#[test]
fn a_thousand_requests_are_answered_one_by_one() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.place().enter(|| {
            let mut socket = Socket::open().unwrap();
            let unreachable = |number: u32| Route {
                kind: RouteKind::Unreachable,
                metric: 7,
                ..Route::to(IpNetwork::new(IpAddr::V4((0x0b00_0000 + number * 256).into()), 24).unwrap(), NODE_ROUTE)
            };
            let routes: Vec<Route> = (0..1000).map(unreachable).collect();
            let mut requests: Vec<_> = routes.iter().map(Route::add).collect();
            let verdicts = socket.request(&mut requests).unwrap();
            assert_eq!(verdicts.len(), 1000);
            assert!(verdicts.iter().all(Result::is_ok));
            let mut found =
                socket.dump(Route::dump(Family::V4, NODE_ROUTE), |message| Route::from_message(&message)).unwrap();
            found.sort();
            assert_eq!(found, routes);
        })
    });
}

/// `RTM_NEWLINK`, and `IFLA_IFNAME` behind `struct ifinfomsg`.
fn new_link(sequence: u32, name: &str) -> Vec<u8> {
    let mut message = Vec::new();
    write(&mut message, 16, 0, sequence, &[0; 16], &[Attribute::text(3, name)]);
    message
}

#[test]
fn what_another_process_sends_to_a_socket_is_neither_an_answer_nor_an_event() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.place().enter(|| {
            let (mut socket, mut monitor) = (Socket::open().unwrap(), Monitor::open().unwrap());
            // The first question gives the socket its port.
            Link::find(&mut socket, Selector::Name("lo")).unwrap().unwrap();
            let forger = rtnetlink::sys::Socket::new(0).unwrap();
            let send = |to: BorrowedFd<'_>, sequence| {
                let port = getsockname::<NetlinkAddr>(to.as_raw_fd()).unwrap().pid();
                let message = new_link(sequence, "forged");
                forger.send_to(&message, &rtnetlink::sys::SocketAddr::new(port, 0), 0).unwrap();
            };
            // One of them has the sequence number of the next question.
            (0..8).for_each(|sequence| send(socket.as_fd(), sequence));
            send(monitor.as_fd(), 0);
            let link = Link::find(&mut socket, Selector::Name("lo")).unwrap().unwrap();
            assert_eq!(link.name, "lo");
            assert!(monitor.read().unwrap().is_none(), "nothing has changed");
        })
    });
}

#[test]
fn the_monitor_reports_changes_by_other_programs() {
    within(|| {
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        node.place().enter(|| {
            let mut monitor = Monitor::open().unwrap();
            assert!(monitor.read().unwrap().is_none(), "no events yet");
            let mut socket = Socket::open().unwrap();
            let device = Link::index(&socket, "eth0").unwrap().unwrap();
            let route = Route { device: Some(device), ..Route::to(net("10.9.0.0/24"), NODE_ROUTE) };
            socket.request(&mut [route.add(), route.remove()]).unwrap();
            let mut reported = Vec::new();
            while let Some(events) = monitor.read().unwrap() {
                reported.extend(events.into_iter().filter_map(|event| match event {
                    Event::Changed(message) => Route::from_message(&message),
                    _ => None,
                }));
            }
            assert_eq!(reported, [route.clone(), route]);
        })
    });
}

//! The agent at scale: 10,000 routes from nothing, one changed node, memory at 5,000 nodes. It prints its numbers; the
//! bars that it holds itself to leave room for a busy machine.

use std::fs;
use std::time::{Duration, Instant};

use netlink::{Link, NODE_ROUTE, Route, Socket};
use podlan_conformance::lab::{Error, Lab, Node, eventually, within};
use serde_json::{Value, json};

use super::{SOON, list, network, status};

/// `count` peers of node1, with a pod CIDR for each family, all neighbours on fd31::/64 and 172.31.0.0/16.
fn cluster(lab: &Lab, count: u32, v6: bool) -> Result<Vec<Value>, Error> {
    let [one] = lab.these();
    let mut items = vec![one.as_kubernetes()];
    items.extend((0..count).map(|i| peer(i, &format!("172.31.{}.{}", 1 + i / 250, 1 + i % 250), v6)));
    list(lab, &items)?;
    Ok(items)
}

fn peer(i: u32, address: &str, v6: bool) -> Value {
    let mut cidrs = vec![format!("100.{}.{}.{}/28", 64 + (i >> 12), (i >> 4) & 255, (i & 15) * 16)];
    let mut addresses = vec![json!({ "type": "InternalIP", "address": address })];
    if v6 {
        cidrs.push(format!("fd00:11:{i:x}::/64"));
        addresses.push(json!({ "type": "InternalIP", "address": format!("fd31::1:{i:x}") }));
    }
    json!({ "metadata": { "name": format!("peer-{i:05}.cluster.example.org") },
            "spec": { "podCIDRs": cidrs }, "status": { "addresses": addresses } })
}

fn desired(status: &Value) -> (u64, u64) {
    let sum = |what: &str| status["v4"][what].as_u64().unwrap_or(0) + status["v6"][what].as_u64().unwrap_or(0);
    (sum("desired"), sum("installed"))
}

fn wait_for(node: &Node, routes: u64) -> Result<(), Error> {
    eventually(Duration::from_secs(60), "all routes are in", || {
        let text = fs::read_to_string(node.path("/run/podlan/node.json")).map_err(|error| error.to_string())?;
        let status: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if desired(&status) == (routes, routes) { Ok(()) } else { Err(text) }
    })
}

/// What `ip -batch` does: the routes of the list, added one by one by a program that does nothing else.
fn floor(node: &Node, count: u32) -> Result<Duration, Error> {
    let took = node.place().enter(|| -> Result<Duration, netlink::Error> {
        let device = Link::index("eth0");
        let routes: Vec<Route> = (0..count)
            .map(|i| {
                let to = network(&format!("100.{}.{}.{}/28", 64 + (i >> 12), (i >> 4) & 255, (i & 15) * 16));
                let [.., high, low] = [1 + i / 250, 1 + i % 250].map(|part| part.to_le_bytes()[0]);
                let via = [172, 31, high, low];
                Route { gateway: Some(via.into()), device, metric: 110, ..Route::to(to, NODE_ROUTE) }
            })
            .collect();
        let mut socket = Socket::open()?;
        let began = Instant::now();
        let refused = socket.request(&mut routes.iter().map(Route::add).collect::<Vec<_>>())?;
        let took = began.elapsed();
        assert!(refused.iter().all(Result::is_ok), "{:?}", refused.iter().find(|verdict| verdict.is_err()));
        socket.request(&mut routes.iter().map(Route::remove).collect::<Vec<_>>())?;
        Ok(took)
    })?;
    took.map_err(|error| Error::Unreadable { from: node.name().to_owned(), said: error.to_string() })
}

#[test]
fn ten_thousand_routes_from_nothing_take_at_most_twice_as_long_as_the_messages_alone() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        super::add_address(one, "eth0", network("172.31.200.1/16"))?;
        cluster(&lab, 10_000, false)?;
        let mut ratios = Vec::new();
        for _ in 0..3 {
            let floor = floor(one, 10_000)?;
            let began = Instant::now();
            let agent = one.agent(&["--log-level", "warn"])?;
            wait_for(one, 10_002)?;
            let took = began.elapsed();
            println!("10,000 routes: {took:?} from exec to ready, messages alone {floor:?}");
            ratios.push(took.as_secs_f64() / floor.as_secs_f64());
            super::stop(agent)?;
            super::node_command(one, &["cleanup"])?;
        }
        let best = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        println!("10,000 routes: {best:.2} times the messages alone");
        assert!(best < 2.0, "{ratios:?}");
        Ok(())
    });
}

#[test]
fn five_thousand_nodes_stay_within_20_megabytes_and_one_change_is_quick() {
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        super::add_address(one, "eth0", network("172.31.200.1/16"))?;
        let mut items = cluster(&lab, 5_000, true)?;
        let agent = one.agent(&["--log-level", "warn"])?;
        wait_for(one, 10_002)?;
        for round in 0..10 {
            items[100] = peer(99, &format!("172.31.99.{}", 1 + round), true);
            let began = Instant::now();
            list(&lab, &items)?;
            let words = format!("172.31.99.{}", 1 + round);
            eventually(SOON, "the change is in", || super::has(one, &[&words]))?;
            println!("one changed node of 5,000: {:?}, looking included", began.elapsed());
        }
        let memory = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap_or_default();
        let kilobytes = |key: &str| -> u64 {
            let line = memory.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX)
        };
        println!("5,000 nodes: {} kB resident, {} at most", kilobytes("VmRSS:"), kilobytes("VmHWM:"));
        assert!(kilobytes("VmRSS:") < 20_000);
        assert_eq!(status(one)?["ready"], true);
        Ok(())
    });
}

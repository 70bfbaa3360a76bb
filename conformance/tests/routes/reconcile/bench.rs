//! The agent at scale: 10,000 routes from nothing, one changed node, memory at 5,000 nodes. It prints its figures; its
//! limits leave room for a busy machine.

use std::fs;
use std::time::{Duration, Instant};

use netlink::{Link, NODE_ROUTE, Route, Socket};
use podlan_conformance::cluster::{self, NEIGHBOURS, Peer, wait_for_routes};
use podlan_conformance::lab::{Error, Lab, Node, binaries, eventually, within};

use podlan_conformance::agent::{has, stop};

use super::{SOON, network, status};

/// For how long the agent is watched at rest.
const REST: Duration = Duration::from_secs(20);

/// The processor time that a process has used (proc(5), `stat`: the 14th and the 15th field, hundredths of a second).
fn worked(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
}

/// The time of `ip -batch`: a program that does nothing but add the routes of the list one by one.
fn floor(node: &Node, count: u32) -> Result<Duration, Error> {
    let took = node.place().enter(|| -> Result<Duration, netlink::Error> {
        let device = Link::index(&Socket::open()?, "eth0")?;
        let routes: Vec<Route> = (0..count)
            .map(|number| {
                let peer = Peer::new(number);
                let via = Some(peer.address.into());
                Route { gateway: via, device, metric: 110, ..Route::to(peer.pod_cidr(), NODE_ROUTE) }
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
    if !binaries::are_release() {
        return;
    }
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        super::add_address(one, "eth0", network(NEIGHBOURS))?;
        cluster::list(&lab, &cluster::items(one, 10_000, false))?;
        let mut ratios = Vec::new();
        for _ in 0..3 {
            let floor = floor(one, 10_000)?;
            let began = Instant::now();
            let agent = one.agent(&["--log-level", "warn"])?;
            wait_for_routes(one, 10_002)?;
            let took = began.elapsed();
            println!("10,000 routes: {took:?} from exec to ready, messages alone {floor:?}");
            ratios.push(took.as_secs_f64() / floor.as_secs_f64());
            stop(agent)?;
            super::node_command(one, &["cleanup"])?;
        }
        let best = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        println!("10,000 routes: {best:.2} times the messages alone");
        assert!(best < 2.0, "{ratios:?}");
        Ok(())
    });
}

#[test]
fn five_thousand_nodes_stay_within_30_megabytes_and_one_change_is_quick() {
    if !binaries::are_release() {
        return;
    }
    within(|| {
        let lab = Lab::new(1)?;
        let [one] = lab.these();
        super::add_address(one, "eth0", network(NEIGHBOURS))?;
        let mut items = cluster::items(one, 5_000, true);
        cluster::list(&lab, &items)?;
        let floor = floor(one, 10_000)?.as_secs_f64();
        // At rest it compares nothing; a full comparison takes a second.
        let agent = one.agent(&["--log-level", "warn", "--resync", "1h"])?;
        wait_for_routes(one, 10_002)?;
        for round in 0..10 {
            let moved = Peer::new(99).moved_to([172, 31, 99, 1 + round].into());
            items[100] = moved.as_kubernetes(true);
            let began = Instant::now();
            cluster::list(&lab, &items)?;
            let words = moved.address.to_string();
            eventually(SOON, "the change is in", || has(one, &[&words]))?;
            println!("one changed node of 5,000: {:?}, including the polling", began.elapsed());
        }
        let memory = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap_or_default();
        let kilobytes = |key: &str| -> u64 {
            let line = memory.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX)
        };
        println!("5,000 nodes: {} kB resident, {} at most", kilobytes("VmRSS:"), kilobytes("VmHWM:"));
        let before = worked(agent.id());
        std::thread::sleep(REST);
        let share = (worked(agent.id()) - before).as_secs_f64() / REST.as_secs_f64();
        println!(
            "5,000 nodes, at rest: {:.2} % of a core; ten thousand routes by messages alone {floor:.3} s",
            share * 100.0
        );
        assert!(kilobytes("VmRSS:") < 30_000);
        // None of the peers answers a probe, so looks at what is wrong may take their whole share, a twentieth. A slow machine is
        // slow for the rest of both.
        let most = 0.05 + 0.03 * floor;
        assert!(share < most, "{share}, not under {most}");
        assert_eq!(status(one)?["ready"], true);
        Ok(())
    });
}

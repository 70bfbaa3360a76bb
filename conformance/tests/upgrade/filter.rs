//! A pod sends with the address of another while one agent ends and the next starts: no packet arrives.
//!
//! ```text
//!   node1 (agent of one build, then of the other; conf.all.rp_filter=2)
//!     ├── thief, which has the addresses of victim too
//!     ├── victim
//!     └── target, which must not receive forged packets
//! ```

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, eventually, within};

use crate::build::{Build, SOON, old_and_new};
use crate::sockets::{PORT, Sockets, steal};

const METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 9419);

/// The forged datagrams that the agent's rule has dropped, by its metrics.
fn dropped(node: &Node) -> Result<u64, String> {
    let text = node.place().http_get(SocketAddr::from(METRICS), "/metrics")?;
    let line = text.lines().find_map(|line| line.strip_prefix("podlan_node_source_rule_drops_total{rule=\"forged\"} "));
    line.and_then(|number| number.parse().ok()).ok_or(text)
}

/// From one build's agent to the other's, with forged datagrams all the time.
fn none_passes(from: &Build, to: &Build) -> Result<(), Error> {
    let lab = Lab::new(1)?;
    let [node] = lab.these();
    let loosened = node.place().enter(|| std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "2"))?;
    loosened.map_err(Error::system("loosen rp_filter"))?;
    let pods = [node.pod("thief")?, node.pod("victim")?, node.pod("target")?];
    let added = pods.iter().map(|pod| pod.add(&node.podnet())).collect::<Result<Vec<_>, _>>()?;
    let (stolen, target) = (added[1].ips(), added[2].ips());
    steal(&pods[0], &stolen)?;
    let receiver = Sockets::bind(&pods[2], &target, PORT)?;
    let forged = Sockets::bind(&pods[0], &stolen, 0)?;
    let honest = Sockets::bind(&pods[1], &stolen, 0)?;
    eventually(SOON, "without an agent the forged datagrams arrive in both families", || {
        forged.send(&target);
        let received = receiver.received().map_err(|error| error.to_string())?;
        let families = [true, false].map(|v4| received.iter().any(|from| from.is_ipv4() == v4));
        if families == [true; 2] { Ok(()) } else { Err(format!("{received:?}")) }
    })?;

    let options = ["--resync", "200ms", "--listen", &SocketAddr::from(METRICS).to_string()];
    let first = from.agent(node, &options)?;
    from.is_ready(node, &first)?;
    eventually(SOON, "the first agent's rule drops the forged datagrams", || {
        let (before, sent) = (dropped(node)?, forged.send(&target));
        let now = dropped(node)?;
        if sent > 0 && now > before { Ok(()) } else { Err(format!("{before}, then {now}")) }
    })?;
    receiver.received()?;

    let (ended, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let changed = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                sent.fetch_add(forged.send(&target), Ordering::Relaxed);
            }
        });
        let change = || -> Result<_, Error> {
            first.stop(Duration::from_secs(5))?;
            let second = to.agent(node, &options)?;
            to.is_ready(node, &second)?;
            let before = eventually(SOON, "the second agent reads the counter", || dropped(node))?;
            eventually(SOON, "and its rule drops forged datagrams", || match dropped(node)? {
                now if now > before => Ok(()),
                now => Err(format!("{before}, then {now}")),
            })?;
            // The rules were compared more than once.
            eventually(SOON, "the second agent reconciles again", || {
                let text = node.place().http_get(SocketAddr::from(METRICS), "/metrics")?;
                let turns =
                    text.lines().find_map(|line| line.strip_prefix("podlan_node_reconcile_duration_seconds_count "));
                if turns.and_then(|turns| turns.parse::<u64>().ok()) > Some(3) { Ok(()) } else { Err(text) }
            })?;
            Ok(second)
        };
        let changed = change();
        ended.store(true, Ordering::Relaxed);
        changed
    });
    let second = changed?;
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent > 100, "{sent} forged datagrams are too few");
    assert_eq!(receiver.received()?, [], "of {sent} forged datagrams these passed");
    eventually(SOON, "honest datagrams arrive", || {
        honest.send(&target);
        let received = receiver.received().map_err(|error| error.to_string())?;
        if received.is_empty() { Err("nothing".to_owned()) } else { Ok(()) }
    })?;
    second.stop(Duration::from_secs(5)).map(drop)
}

#[test]
fn no_forged_packet_passes_while_the_new_agent_takes_over_from_the_old_one() {
    let Some([old, new]) = old_and_new() else { return };
    within(|| none_passes(&old, &new));
}

#[test]
fn no_forged_packet_passes_while_the_old_agent_takes_over_from_the_new_one() {
    let Some([old, new]) = old_and_new() else { return };
    within(|| none_passes(&new, &old));
}

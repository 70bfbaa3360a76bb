//! Pods are added and removed for a long time, in every way that runtimes do it, many at once, and nothing grows: no
//! link, address, route, neighbour, rule, lease, host port, mount, byte of the stores, descriptor or page of the agent.
//!
//! ```text
//!   node1 (agent with its source rule)
//!     ├── w0p0 … w0p2   worker 0: eth0 … eth2 of each, in podnet or storage, added and deleted at random
//!     ├── w1p0 … w1p2   worker 1, at the same time
//!     ⋮
//! ```
//!
//! PODLAN_CHURN sets the number of ADDs and DELs; `scripts/churn` sets 100,000.

mod figures;
mod model;
mod worker;

use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Lab, Node, Running, Snapshot, eventually, within};
use serde_json::{Value, json};

use figures::Figures;
use model::Model;
use worker::{Tally, Worker};

/// ADDs and DELs in CI.
const FEW: usize = 600;

/// Processes at once.
const WORKERS: usize = 8;

/// Memory that the agent may gain, in kilobytes: its allocator's, not its data's.
const SLACK: u64 = 512;

/// The state that all workers share.
struct Rig<'lab> {
    node: &'lab Node,
    networks: [Value; 2],
    model: Model,
    /// ADDs and DELs so far, and the number at which to stop.
    calls: AtomicUsize,
    wanted: AtomicUsize,
    /// Held for writing by a GC and an audit: a runtime calls GC while it adds no attachment.
    alone: RwLock<()>,
}

impl Rig<'_> {
    fn wants_more(&self) -> bool {
        self.calls.load(Ordering::Relaxed) < self.wanted.load(Ordering::Relaxed)
    }
}

/// Two networks that share the node's pod CIDRs, with room for 125 pods each.
fn networks(node: &Node) -> [Value; 2] {
    let network = |name: &str, v4: &str, v6: &str| {
        json!({
            "cniVersion": "1.1.0", "name": name, "type": "podlan",
            "ipam": { "type": "podlan-ipam", "ranges": [[{ "subnet": v4 }], [{ "subnet": v6 }]] },
        })
    };
    assert_eq!(node.pod_cidrs()[0].to_string(), "10.244.1.0/24");
    [
        network("podnet", "10.244.1.0/25", "fd00:10:244:1:1::/121"),
        network("storage", "10.244.1.128/25", "fd00:10:244:1:2::/121"),
    ]
}

/// Leases and releases every address once, so that the stores have their final size.
fn fill_and_empty(rig: &Rig<'_>) -> Result<(), Error> {
    let fills = rig.networks.iter().flat_map(|network| (0..4).map(move |part| (network, part)));
    thread::scope(|scope| {
        let fills: Vec<_> = fills.map(|(network, part)| scope.spawn(move || fill(rig.node, network, part))).collect();
        fills.into_iter().try_for_each(|fill| fill.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    for network in &rig.networks {
        worker::collect(rig, network)?;
    }
    Ok(())
}

/// Adds to one pod until the network is full.
fn fill(node: &Node, network: &Value, part: u32) -> Result<(), Error> {
    let pod = node.pod(&format!("fill-{}-{part}", network["name"].as_str().unwrap_or_default()))?;
    for number in 0..200 {
        let added = pod.cni("ADD", &format!("eth{number}"), network)?.run()?;
        if !added.success() {
            let full = added.clone().complaint()?.text.contains("no IP addresses available");
            return if full { pod.remove() } else { Err(added.but("it should have been full at most")) };
        }
    }
    pod.remove()
}

/// Lets the workers run until there were `wanted` ADDs and DELs in all, and then remove all of their pods.
fn churn(rig: &Rig<'_>, wanted: usize, seed: u64) -> Result<Tally, Error> {
    rig.wanted.store(wanted, Ordering::Relaxed);
    let tallies = thread::scope(|scope| -> Result<Vec<Tally>, Error> {
        let workers = (0..WORKERS).map(|number| Worker::new(rig, number, seed));
        let workers: Vec<_> = workers.map(|worker| scope.spawn(move || worker.work())).collect();
        workers.into_iter().map(|work| work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })?;
    for network in &rig.networks {
        worker::collect(rig, network)?;
    }
    let [podnet, storage] = &rig.networks;
    worker::audit(rig, &[podnet, storage])?;
    Ok(tallies.into_iter().sum())
}

/// The node is as it was before any pod; links take a moment to disappear.
fn settled(rig: &Rig<'_>, agent: &Running, before: &Snapshot) -> Result<Figures, Error> {
    eventually(Duration::from_secs(20), "the node is as it was before", || {
        let difference = rig.node.network().map_err(|error| error.to_string())?.since(before);
        let ports = host_ports(rig.node).map_err(|error| error.to_string())?;
        if difference.is_empty() && ports.is_empty() { Ok(()) } else { Err(format!("{difference}\n{ports}")) }
    })?;
    Figures::take(rig.node, agent)
}

/// What is left of host ports: the names of records, and the table where it has an element.
fn host_ports(node: &Node) -> Result<String, Error> {
    let records = "ls /run/podlan/_hostports 2>/dev/null | grep -v '^lock$'";
    let elements = "nft list table inet podlan-hostport 2>/dev/null | grep elements";
    node.shell(&format!("{records}; {elements}; true"))
}

#[test]
fn nothing_grows_while_pods_come_and_go() {
    within(|| {
        let wanted = std::env::var("PODLAN_CHURN").ok().and_then(|number| number.parse().ok()).unwrap_or(FEW);
        let seed = std::env::var("PODLAN_SEED").ok().and_then(|number| number.parse().ok()).unwrap_or(1);
        let lab = Lab::new(1)?;
        let [node] = lab.these();
        let agent = node.agent(&["--log-level", "warn"])?;
        eventually(Duration::from_secs(10), "the agent is ready", || {
            let state = std::fs::read_to_string(node.path("/run/podlan/node.json")).unwrap_or_default();
            if state.contains("\"ready\":true") { Ok(()) } else { Err(state) }
        })?;
        let rig = Rig {
            node,
            networks: networks(node),
            model: Model::default(),
            calls: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            alone: RwLock::new(()),
        };
        // Switched on once and for all by the first ADD: forwarding.
        let first = node.pod("first")?;
        first.add(&rig.networks[0])?;
        first.del(&rig.networks[0])?;
        let before = node.network()?;
        fill_and_empty(&rig)?;
        churn(&rig, wanted / 10, seed)?;

        let started = Instant::now();
        let early = settled(&rig, &agent, &before)?;
        println!("{:>7} ADDs and DELs: {early}", rig.calls.load(Ordering::Relaxed));
        let mut late = early.clone();
        let mut tally = Tally::default();
        for part in 2..=10 {
            tally += churn(&rig, wanted / 10 * part, seed + part as u64)?;
            late = settled(&rig, &agent, &before)?;
            println!("{:>7} ADDs and DELs: {late}", rig.calls.load(Ordering::Relaxed));
        }
        println!("{tally}, in {:.0} s with {WORKERS} at once", started.elapsed().as_secs_f64());
        late.has_not_grown_since(&early, SLACK);
        Ok(())
    });
}

//! The agent's memory with 5,000 nodes of a real API server: Node objects as large as real ones, listed, and listed
//! again after an outage.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnetwork::{IpNetwork, Ipv4Network};
use netlink::{Address, Link, Socket};
use podlan_conformance::lab::{Error, Lab, Node, Running, binaries, eventually};
use serde_json::{Value, json};

use super::acts::{AGENT, noting};
use super::scenarios::agents_user;
use super::server::{FRONT, Server};

const NODES: u32 = 5_000;

/// A list of that size on a busy machine.
const WHILE: Duration = Duration::from_secs(120);

/// A node with everything that a kubelet writes about itself: its capabilities, its state, and fifty images.
fn large(i: u32) -> Value {
    let name = format!("peer-{i:05}.cluster.example.org");
    let images: Vec<Value> = (0..50)
        .map(|image| {
            let repository = format!("registry.example.org/team-{}/service-{image:02}", image % 7);
            json!({ "names": [format!("{repository}@sha256:{:064x}", i * 64 + image), format!("{repository}:v1.{image}.7")],
                    "sizeBytes": 50_000_000 + image })
        })
        .collect();
    let conditions: Vec<Value> = ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable", "Ready"]
        .iter()
        .map(|kind| {
            json!({ "type": kind, "status": if *kind == "Ready" { "True" } else { "False" },
            "reason": "KubeletIsWell", "message": "kubelet is posting a status that is long enough to be a real one",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z" })
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": {
            "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
            "topology.kubernetes.io/zone": "zone-1", "node.kubernetes.io/instance-type": "large" },
            "annotations": { "node.alpha.kubernetes.io/ttl": "0", "example.org/facts": "f".repeat(600) } },
        "spec": { "podCIDR": v4_cidr(i), "podCIDRs": [v4_cidr(i), format!("fd00:11:{i:x}::/64")] },
        "status": {
            "addresses": [
                { "type": "InternalIP", "address": format!("172.31.{}.{}", 1 + i / 250, 1 + i % 250) },
                { "type": "InternalIP", "address": format!("fd31::1:{i:x}") },
                { "type": "Hostname", "address": name }],
            "capacity": { "cpu": "64", "memory": "256Gi", "pods": "250", "ephemeral-storage": "900Gi" },
            "allocatable": { "cpu": "63", "memory": "250Gi", "pods": "250", "ephemeral-storage": "800Gi" },
            "conditions": conditions, "images": images },
    })
}

fn v4_cidr(i: u32) -> String {
    format!("100.{}.{}.{}/28", 64 + (i >> 12), (i >> 4) & 255, (i & 15) * 16)
}

/// Gives `node` an address in the subnet of all peers.
fn widen(node: &Node) -> Result<(), Error> {
    let wide = Ipv4Network::new(Ipv4Addr::new(172, 31, 200, 1), 16).map(IpNetwork::V4);
    let done = node.place().enter(|| -> Result<(), String> {
        let mut socket = Socket::open().map_err(|error| error.to_string())?;
        let device = Link::index(&socket, "eth0").ok().flatten().ok_or("no eth0")?;
        let address = Address { address: wide.map_err(|error| error.to_string())?, device, link_scope: false };
        let verdicts = socket.request(&mut [address.add()]).map_err(|error| error.to_string())?;
        verdicts.into_iter().collect::<Result<(), _>>().map_err(|error| error.to_string())
    })?;
    done.map_err(|said| Error::Unreadable { from: "the kernel".into(), said })
}

/// A value in kilobytes of the agent's /proc/PID/status.
fn kilobytes(agent: &Running, key: &str) -> u64 {
    let memory = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap_or_default();
    let line = memory.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX)
}

/// The agent's memory at one time, and its peak so far, in kilobytes.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) when: &'static str,
    pub(super) resident: u64,
    pub(super) most: u64,
}

fn held(agent: &Running, when: &'static str) -> Held {
    Held { when, resident: kilobytes(agent, "VmRSS:"), most: kilobytes(agent, "VmHWM:") }
}

/// Waits until the agent has all routes, and its source is ok since `after`; returns the time of its last sync.
fn synced(lab: &Lab, after: u64) -> Result<u64, Error> {
    let [one] = lab.these();
    eventually(WHILE, "all routes exist and the source is ok", || {
        let text = fs::read_to_string(one.path("/run/podlan/node.json")).map_err(|error| error.to_string())?;
        let state: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let installed = ["v4", "v6"].map(|family| state[family]["installed"].as_u64().unwrap_or(0));
        let last = state["source"]["lastSync"].as_u64().unwrap_or(0);
        let whole = installed == [u64::from(NODES) + 1; 2] && state["source"]["error"] == "" && last > after;
        if whole { Ok(last) } else { Err(text) }
    })
}

/// The agent's memory after it has listed the nodes, and after it has done so again.
pub(super) fn five_thousand_nodes() -> Result<[Held; 2], Error> {
    let lab = Lab::new(1)?;
    let [one] = lab.these();
    widen(one)?;
    let server = Server::start(one, noting(""))?;
    server.allow(&agents_user())?;
    server.create(&one.as_kubernetes())?;
    server.create_all((0..NODES).map(large))?;
    let path = one.path("/run/kubeconfig");
    fs::write(&path, server.kubeconfig(AGENT).to_string())
        .map_err(|source| Error::System { doing: "write the kubeconfig".into(), source })?;
    let agent = one
        .command(binaries::find("podlan-node")?)
        .args(["run", "--node-name", one.name(), "--kubeconfig", "/run/kubeconfig", "--log-level", "warn"])
        .spawn()?;
    let first = synced(&lab, 0)?;
    let listed = held(&agent, "listed");
    server.kill(FRONT);
    server.open(FRONT)?;
    synced(&lab, first)?;
    Ok([listed, held(&agent, "listed again after an outage")])
}

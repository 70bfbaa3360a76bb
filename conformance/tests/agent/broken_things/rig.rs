//! A node with an agent, a peer that does not exist, and pods of two networks; and what the tests read of the agent.

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use nix::sys::signal::Signal;
use podlan_conformance::lab::{Node, Pod, Running, binaries, until};
use serde_json::{Value, json};

use super::fault::Fault;

/// The directories of the leases, the nodes and the runtime's configurations.
pub(crate) const LEASES: &str = "/run/leases";
pub(crate) const NODES: &str = "/run/nodes.d";
pub(crate) const CONFIGS: &str = "/run/net.d";

/// The peer's IPv4 pod CIDR, and the same as /proc/net/route writes it.
const PEER: &str = "10.244.250.0/24";
const PEER_IN_PROC: &str = "00FAF40A";

/// The networks of a node: the agent's own, one that must be served all the time, and those of the faults.
const NETWORKS: [&str; 9] = ["podnet", "other", "broken", "flipped", "cut", "empty", "foreign", "folder", "pipe"];

const PORT: u16 = 9900;

/// So many descriptors more are no growth: a part may have been about to open its socket again when they were counted first. What
/// is lost with each attempt would be hundreds.
const PARTS: usize = 3;

/// Processes, descriptors and memory of an agent.
#[derive(Debug)]
pub(crate) struct Figures {
    threads: usize,
    descriptors: usize,
    /// KiB.
    memory: u64,
}

impl Figures {
    /// Fails when it is more than `before`.
    pub(crate) fn more_than(&self, before: &Self, more_memory: u64) -> Result<(), String> {
        let flat = self.threads <= before.threads
            && self.descriptors <= before.descriptors + PARTS
            && self.memory <= before.memory + more_memory;
        if flat { Ok(()) } else { Err(format!("not flat: {before:?} after a third, {self:?} at the end")) }
    }
}

/// A node and its agent.
pub(crate) struct Rig<'lab> {
    pub(crate) node: &'lab Node,
    agent: RefCell<Option<Running>>,
    web: Pod<'lab>,
    pods: Cell<u32>,
    /// Pods, one of which a fault may end without a DEL.
    pub(crate) mortal: RefCell<Vec<Pod<'lab>>>,
}

impl<'lab> Rig<'lab> {
    pub(crate) fn new(node: &'lab Node, fault: &Fault) -> Result<Self, String> {
        let text = |error: podlan_conformance::lab::Error| error.to_string();
        for directory in [LEASES, NODES, CONFIGS, "/run/podlan"] {
            fs::create_dir_all(node.path(directory)).unwrap();
        }
        let web = node.pod("web").map_err(text)?;
        let rig = Self { node, agent: RefCell::new(None), web, pods: Cell::new(0), mortal: RefCell::default() };
        let peer = json!({
            "metadata": { "name": "peer" },
            "spec": { "podCIDRs": [PEER, "fd00:10:244:fa::/64"] },
            "status": { "addresses": [
                { "type": "InternalIP", "address": "172.31.0.250" }, { "type": "InternalIP", "address": "fd31::250" },
            ] },
        });
        let list = json!({ "kind": "NodeList", "items": [node.as_kubernetes(), peer] });
        (fault.prepare)(&rig)?;
        fs::write(node.path(&format!("{NODES}/nodes.json")), list.to_string()).unwrap();
        rig.web.add(&rig.network("podnet")).map_err(text)?;
        let agent = node
            .command(binaries::find("podlan-node").map_err(text)?)
            .args(["run", "--node-name", node.name(), "--nodes", NODES, "--data-dir", LEASES])
            .args(["--cni-conf-dir", CONFIGS, "--listen", &rig.at().to_string(), "--resync", "5s", "--masquerade"])
            .args(fault.arguments);
        *rig.agent.borrow_mut() = Some(agent.spawn().map_err(text)?);
        Ok(rig)
    }

    /// The configuration of a network that leases from the node's CIDRs, each from its own part.
    pub(crate) fn network(&self, name: &str) -> Value {
        let number = self.node.pod_cidrs()[0].ip().to_string().split('.').nth(2).unwrap().to_owned();
        // Sixteen addresses each.
        let place = NETWORKS.iter().position(|known| *known == name).unwrap();
        let part = 16 * place;
        json!({
            "cniVersion": "1.0.0", "name": name, "type": "podlan",
            "ipam": {
                "type": "podlan-ipam", "dataDir": LEASES,
                "ranges": [[{ "subnet": format!("10.244.{number}.{part}/28") }]],
            },
        })
    }

    /// A file or directory of the node, as the lab sees it.
    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.node.path(path)
    }

    fn at(&self) -> SocketAddr {
        SocketAddr::new(self.node.v4(), PORT)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.agent.borrow().as_ref().map_or(0, Running::id)
    }

    fn log(&self) -> String {
        let log = self.agent.borrow().as_ref().map(Running::stderr).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(25).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n    ")
    }

    /// Whether the agent is still the same process.
    pub(crate) fn runs(&self) -> Result<(), String> {
        let runs = self.agent.borrow_mut().as_mut().is_some_and(Running::is_running);
        if runs { Ok(()) } else { Err(format!("the agent has ended:\n    {}", self.log())) }
    }

    fn has_peer_route(&self) -> bool {
        let routes = self.node.place().enter(|| fs::read_to_string("/proc/thread-self/net/route")).unwrap().unwrap();
        routes.contains(PEER_IN_PROC)
    }

    /// Waits for the route to the peer.
    pub(crate) fn has_routes(&self, patience: Duration) -> Result<(), String> {
        let until = until(patience);
        while !self.has_peer_route() {
            self.runs()?;
            if Instant::now() > until {
                return Err(format!("no route after {patience:?}:\n    {}", self.log()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether an operator's command is answered.
    fn obeys(&self) -> bool {
        let command = self.node.command(binaries::find("podlan-node").unwrap()).arg("release-withdrawal");
        command.deadline(Duration::from_secs(5)).run().is_ok_and(|output| output.stdout.contains("nothing is held"))
    }

    /// Deletes a route and waits until it is back; returns how long that took.
    pub(crate) fn heals(&self, patience: Duration) -> Result<Duration, String> {
        let cidr: IpNetwork = PEER.parse().unwrap();
        if self.node.place().remove_route(cidr).is_err() {
            return Err(format!("the route to the peer was not there:\n    {}", self.log()));
        }
        let begun = Instant::now();
        while !self.has_peer_route() {
            if begun.elapsed() > patience {
                return Err(format!("a deleted route is not restored after {patience:?}:\n    {}", self.log()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(begun.elapsed())
    }

    pub(crate) fn is_healthy(&self) -> Result<(), String> {
        let said = self.node.place().http_get(self.at(), "/healthz").map_err(|error| format!("/healthz: {error}"))?;
        if said.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("/healthz: {said}")) }
    }

    /// The output of `podlan-node status`.
    pub(crate) fn status(&self) -> String {
        let command = self.node.command(binaries::find("podlan-node").unwrap()).arg("status");
        command
            .deadline(Duration::from_secs(10))
            .run()
            .map_or_else(|error| error.to_string(), |output| output.stdout + &output.stderr)
    }

    /// Waits until `status` prints all of these texts.
    pub(crate) fn names(&self, words: &[&str], patience: Duration) -> Result<(), String> {
        let until = until(patience);
        loop {
            let said = self.status();
            if words.iter().all(|word| said.contains(word)) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("status does not name {words:?}:\n{said}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `status` prints one of these texts, if there are any.
    pub(crate) fn names_one(&self, texts: &[&str], patience: Duration) -> Result<(), String> {
        let until = until(patience);
        while !texts.is_empty() {
            let said = self.status();
            if texts.iter().any(|text| said.contains(text)) {
                break;
            }
            if Instant::now() > until {
                return Err(format!("status names none of {texts:?}:\n{said}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The current warnings.
    fn warnings(&self) -> Vec<String> {
        let status = self.status();
        status.lines().filter_map(|line| line.strip_prefix("warning")).map(|line| line.trim().to_owned()).collect()
    }

    /// It is ready, has no warnings, answers an operator, and the peer's route exists.
    pub(crate) fn is_well(&self, patience: Duration) -> Result<(), String> {
        let until = until(patience);
        loop {
            self.runs()?;
            let ready =
                self.node.place().http_get(self.at(), "/readyz").is_ok_and(|said| said.starts_with("HTTP/1.1 200"));
            let status = self.status();
            let failing = status.contains("the last good list stays");
            if ready && self.warnings().is_empty() && self.has_peer_route() && !failing && self.obeys() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("{status}\n    {}", self.log()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The number of entries in a directory of the agent's /proc, without those of passing clients, of a look at the node, and of
    /// the ports of two rounds of probes.
    pub(crate) fn count(&self, what: &str) -> usize {
        let count = |_| {
            thread::sleep(Duration::from_millis(30));
            fs::read_dir(format!("/proc/{}/{what}", self.pid())).map_or(0, Iterator::count)
        };
        (0..100).map(count).min().unwrap_or_default()
    }

    pub(crate) fn figures(&self) -> Result<Figures, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).map_err(|error| error.to_string())?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let memory = memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let [threads, descriptors] = ["task", "fd"].map(|what| self.count(what));
        Ok(Figures { threads, descriptors, memory })
    }

    /// A pod of another network is added and deleted, and one that ends without a DEL releases its address.
    pub(crate) fn others_are_served(&self) -> Result<(), String> {
        let number = self.pods.replace(self.pods.get() + 1);
        let config = self.network("other");
        let served = || -> Result<Pod<'_>, podlan_conformance::lab::Error> {
            let [lives, dies] = ["lives", "dies"].map(|name| self.node.pod(&format!("{name}-{number}")));
            let (lives, dies) = (lives?, dies?);
            lives.add(&config)?;
            dies.add(&config)?;
            lives.del(&config)?;
            dies.remove()?;
            Ok(dies)
        };
        let dead = served().map_err(|error| format!("another network is not served: {error}"))?;
        let leases = || {
            let command = self.node.command(binaries::find("podlan-node").unwrap());
            let shown = command.args(["leases", "--data-dir", LEASES]).deadline(Duration::from_secs(8)).run();
            shown.map_or_else(|error| error.to_string(), |output| output.stdout)
        };
        // The leases on a file system that hangs cannot be listed: the store is read directly.
        let is_leased = || {
            let place = ipam::Place::new(self.path(LEASES), cni::NetworkName::parse("other").unwrap());
            ipam::leases(&place)
                .is_ok_and(|all| all.iter().any(|lease| lease.owner.container_id.as_str() == dead.name()))
        };
        let until = until(Duration::from_secs(30));
        while is_leased() {
            if Instant::now() > until {
                return Err(format!(
                    "a dead lease of another network is not released:\n    {}\n{}",
                    self.log(),
                    leases()
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGTERM ends it, with success.
    pub(crate) fn ends(&self, patience: Duration) -> Result<(), String> {
        let Some(agent) = self.agent.borrow_mut().take() else { return Err("there is no agent".to_owned()) };
        agent.signal(Signal::SIGTERM).map_err(|error| error.to_string())?;
        let output = agent.wait(patience).map_err(|error| format!("SIGTERM does not end it: {error}"))?;
        if output.success() { Ok(()) } else { Err(format!("it failed: {}", output.stderr)) }
    }
}

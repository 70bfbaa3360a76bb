//! The whole setup: a lab, and on each node podlan's agent and a containerd with podlan as its network.

use std::net::IpAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use podlan_conformance::lab::{Error, Lab, Node, Running, SHARED, Snapshot, binaries, eventually};
use serde_json::{Value, json};
use tonic::Status;

use super::cri::{PodSandboxConfig, PortMapping};
use super::daemon::{Containerd, Loopback};
use super::image::{self, File};
use super::parts::Parts;
use super::pod::{self, Pod};

const SOON: Duration = Duration::from_secs(5);

/// The image's programs, by their paths in containers.
pub const LAB: &str = "/bin/podlan-lab";
pub const INSIDE: &str = "/bin/podlan-lab-inside";

pub struct Rig<'a> {
    lab: &'a Lab,
    containerds: Vec<Containerd<'a>>,
    agents: Vec<Running>,
}

/// A node with its runtime.
#[derive(Clone, Copy)]
pub struct Worker<'a> {
    pub node: &'a Node,
    pub containerd: &'a Containerd<'a>,
}

impl<'a> Rig<'a> {
    /// Nodes that are ready for pods: the agent's routes exist, and the runtime reports NetworkReady.
    pub fn new(lab: &'a Lab, parts: &Parts) -> Result<Self, Error> {
        Self::with_loopback(lab, parts, Loopback::Internal)
    }

    /// The same, with a choice of the program that sets a pod's loopback up.
    pub fn with_loopback(lab: &'a Lab, parts: &Parts, loopback: Loopback) -> Result<Self, Error> {
        let podlan = binaries::find("podlan")?;
        let rig = Self::bare(lab, parts, loopback)?;
        for (node, containerd) in lab.nodes().iter().zip(&rig.containerds) {
            containerd.install_plugin("podlan", &podlan);
            containerd.use_conflist(&conflist(node.podnet()))?;
        }
        let agents = lab.nodes().iter().map(|node| node.agent(&[])).collect::<Result<_, _>>()?;
        let rig = Self { agents, ..rig };
        rig.wait_until_ready()?;
        Ok(rig)
    }

    /// Nodes with a runtime and without podlan.
    pub fn bare(lab: &'a Lab, parts: &Parts, loopback: Loopback) -> Result<Self, Error> {
        // A release build: a tenth of the bytes to hash and to unpack.
        let (traffic, inside) = (binaries::find("podlan-lab")?, binaries::find("podlan-lab-inside")?);
        let files = [File { target: &LAB[1..], source: &traffic }, File { target: &INSIDE[1..], source: &inside }];
        let archive = image::archive(&files, &[INSIDE, "pause"]);
        let start = |node: &'a Node| {
            let directory = PathBuf::from(SHARED).join(node.name());
            let containerd = Containerd::start(node, directory, parts, loopback, &archive);
            containerd.install_plugin("loopback", &parts.plugin("loopback"));
            containerd
        };
        let containerds = thread::scope(|scope| {
            let starting: Vec<_> = lab.nodes().iter().map(|node| scope.spawn(|| start(node))).collect();
            starting.into_iter().map(|one| one.join().unwrap()).collect()
        });
        Ok(Self { lab, containerds, agents: Vec::new() })
    }

    pub fn workers<const N: usize>(&self) -> [Worker<'_>; N] {
        let pairs = self.lab.nodes().iter().zip(&self.containerds);
        let workers: Vec<_> = pairs.map(|(node, containerd)| Worker { node, containerd }).collect();
        workers.try_into().unwrap_or_else(|_| panic!("the rig does not have {N} nodes"))
    }

    fn wait_until_ready(&self) -> Result<(), Error> {
        for (node, containerd) in self.lab.nodes().iter().zip(&self.containerds) {
            eventually(SOON, &format!("{} is NetworkReady", node.name()), || {
                let ready = containerd.cri.network_ready().map_err(|error| error.to_string())?;
                if ready.status { Ok(()) } else { Err(format!("{}: {}", ready.reason, ready.message)) }
            })?;
            for other in self.lab.nodes() {
                self.has_routes(node, other)?;
            }
        }
        Ok(())
    }

    /// The agent of `node` has its routes to the pod CIDRs of `other`, through that node's addresses, and unreachable
    /// routes for the unused addresses of its own.
    fn has_routes(&self, node: &Node, other: &Node) -> Result<(), Error> {
        for (cidr, via) in other.pod_cidrs().iter().zip(other.ips()) {
            let (cidr, via) = (cidr.to_string(), via.to_string());
            let words = match node.name() == other.name() {
                true => vec!["route", "unreachable", &cidr, "proto", NODE_ROUTE],
                false => vec!["route", "unicast", &cidr, "via", &via, "proto", NODE_ROUTE],
            };
            eventually(SOON, &format!("{} has {}", node.name(), words.join(" ")), || {
                let network = node.network().map_err(|error| error.to_string())?;
                let agents: Vec<String> = self.agents.iter().map(Running::stderr).collect();
                match network.lines(&words).len() {
                    1 => Ok(()),
                    _ => Err(format!("{network}\n{}", agents.join("\n"))),
                }
            })?;
        }
        Ok(())
    }
}

/// The route protocol number of the agent's routes.
const NODE_ROUTE: &str = "110";

impl<'a> Worker<'a> {
    /// A pod whose creation must succeed.
    pub fn pod(&self, name: &str) -> Pod<'a> {
        self.try_pod(name).unwrap_or_else(|error| panic!("pod {name} on {}: {error}", self.node.name()))
    }

    pub fn try_pod(&self, name: &str) -> Result<Pod<'a>, Status> {
        Pod::run(&self.containerd.cri, pod::config(name))
    }

    /// A pod with a TCP port of its node that is forwarded to one of its own.
    pub fn pod_with_host_port(&self, name: &str, host_port: u16, container_port: u16) -> Pod<'a> {
        let mapping = PortMapping { container_port: container_port.into(), host_port: host_port.into() };
        let config = PodSandboxConfig { port_mappings: vec![mapping], ..pod::config(name) };
        Pod::run(&self.containerd.cri, config).unwrap()
    }

    /// The links, addresses, routes, neighbours and rules of the node are what they were at `before`, and no address
    /// is leased.
    pub fn is_empty_as(&self, before: &Snapshot) -> Result<(), Error> {
        self.is_as(before)?;
        assert_eq!(self.leases(), [] as [IpAddr; 0], "leases on {}", self.node.name());
        Ok(())
    }

    /// The links, addresses, routes, neighbours and rules of the node are what they were at `before`.
    pub fn is_as(&self, before: &Snapshot) -> Result<(), Error> {
        // The kernel adds its own routes to the uplink's addresses when an address has settled, and with forwarding; an
        // agent that starts makes the endpoint of its path probes. A link that was made while the snapshot was taken has a
        // number there, and no name.
        const OF_PROBES: [&str; 5] = ["podlprobe", "podprobe0", "table 1111001", "table 1111002", " dev #"];
        let of_probes = |line: &str| OF_PROBES.iter().any(|word| line.contains(word));
        let is_ours = |line: &&str| !(line.contains(" dev eth0 ") && line.ends_with(" table 255") || of_probes(line));
        eventually(SOON, &format!("nothing is left on {}", self.node.name()), || {
            let since = self.node.network().map_err(|error| error.to_string())?.since(before);
            let since: Vec<&str> = since.lines().filter(is_ours).collect();
            if since.is_empty() { Ok(()) } else { Err(since.join("\n")) }
        })
    }

    /// The addresses that are leased on this node, of every network, in order.
    pub fn leases(&self) -> Vec<IpAddr> {
        let places = ipam::places(&self.node.path(ipam::DEFAULT_DATA_DIR)).unwrap();
        let leases = places.iter().flat_map(|place| ipam::leases(place).unwrap());
        let mut addresses: Vec<IpAddr> = leases.map(|lease| lease.address.ip()).collect();
        addresses.sort();
        addresses
    }

    /// The runtime's calls of `plugin` for a sandbox, in order.
    pub fn calls(&self, plugin: &str, sandbox: &str) -> Vec<Value> {
        let all = self.containerd.calls().into_iter();
        all.filter(|call| call["plugin"] == plugin && call["container"] == sandbox).collect()
    }
}

/// A network of one plugin as a conflist: cniVersion and name move to the list.
pub fn conflist(plugin: Value) -> Value {
    chain(plugin, &[])
}

/// A network of several plugins as a conflist.
pub fn chain(mut plugin: Value, after: &[Value]) -> Value {
    let own = plugin.as_object_mut().expect("a plugin's config is an object");
    let version = own.remove("cniVersion").expect("cniVersion");
    let name = own.remove("name").expect("name");
    let plugins: Vec<Value> = std::iter::once(plugin).chain(after.iter().cloned()).collect();
    json!({"cniVersion": version, "name": name, "plugins": plugins})
}

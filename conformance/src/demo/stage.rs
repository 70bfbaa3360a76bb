//! The stage: agents on the nodes, pods on the network, a server in each of them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::lab::{Error, Lab, Node, PORT, Place, Pod, Running, eventually};

/// How long the agents may take to connect the nodes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client and server of the demo: a pod, or a node itself.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) place: Place,
    /// Its own address of each family.
    pub(super) own: Vec<IpAddr>,
    /// The node that it is or runs on, as an index.
    pub(super) node: usize,
    pub(super) is_pod: bool,
}

/// Everything that runs during the demo.
pub(super) struct Stage<'lab> {
    pub(super) hosts: Vec<Host>,
    pub(super) pods: Vec<Pod<'lab>>,
    _agents: Vec<Running>,
    _servers: Vec<Running>,
}

impl<'lab> Stage<'lab> {
    pub(super) fn set(lab: &'lab Lab, progress: &mut Progress<'_>) -> Result<Self, Error> {
        let agents = progress.step("agents", || {
            let agents = lab.nodes().iter().map(|node| node.agent(&[])).collect::<Result<Vec<_>, _>>()?;
            let took = connected(lab)?;
            let what = format!("podlan-node on each node: routes to the others after {} ms", took.as_millis());
            Ok((agents, what))
        })?;
        let (pods, mut hosts): (Vec<_>, Vec<_>) = progress.step("pods", || add_pods(lab))?.into_iter().unzip();
        hosts.extend(lab.nodes().iter().enumerate().map(|(index, node)| Host {
            name: node.name().to_owned(),
            place: node.place().clone(),
            own: node.ips(),
            node: index,
            is_pod: false,
        }));
        let servers = progress.step("servers", || {
            let servers = hosts.iter().map(|host| host.place.serve(PORT)).collect::<Result<Vec<_>, _>>()?;
            Ok((servers, format!("TCP, UDP and ICMP, IPv4 and IPv6, in {} places", hosts.len())))
        })?;
        Ok(Self { hosts, pods, _agents: agents, _servers: servers })
    }
}

/// Two pods on every node, each added by the plugin as a container runtime does it.
fn add_pods(lab: &Lab) -> Result<(Vec<(Pod<'_>, Host)>, String), Error> {
    let (mut pods, mut times) = (Vec::new(), Vec::new());
    for (index, node) in lab.nodes().iter().enumerate() {
        for app in ["web", "db"] {
            let name = format!("{app}{}", index + 1);
            let pod = node.pod(&name)?;
            let started = Instant::now();
            let added = pod.add(&node.podnet())?;
            times.push(started.elapsed());
            let host = Host { name, place: pod.place().clone(), own: added.ips(), node: index, is_pod: true };
            pods.push((pod, host));
        }
    }
    times.sort();
    let median = times[times.len() / 2].as_secs_f64() * 1e3;
    let what = format!("{} pods by the plugin podlan: an ADD takes {median:.1} ms", pods.len());
    Ok((pods, what))
}

/// Waits until each node has routes to the pods of each other, and returns how long that took.
fn connected(lab: &Lab) -> Result<Duration, Error> {
    let started = Instant::now();
    for node in lab.nodes() {
        for other in lab.nodes().iter().filter(|other| other.name() != node.name()) {
            has_routes(node, other, true, PATIENCE)?;
        }
    }
    Ok(started.elapsed())
}

/// Waits until `node` has routes to the pods of `other` in both families, or has none.
pub(super) fn has_routes(node: &Node, other: &Node, wanted: bool, patience: Duration) -> Result<(), Error> {
    let verb = if wanted { "has" } else { "has no" };
    let fact = format!("{} {verb} routes to the pods of {}", node.name(), other.name());
    eventually(patience, &fact, || {
        let network = node.network().map_err(|error| error.to_string())?;
        let routed =
            |cidr: &ipnetwork::IpNetwork| !network.lines(&["route", "unicast", &cidr.to_string(), "via"]).is_empty();
        match other.pod_cidrs().iter().all(|cidr| routed(cidr) == wanted) {
            true => Ok(()),
            false => Err(network.to_string()),
        }
    })
}

//! podlan's own life in the cluster: applied, replaced, uninstalled.

use std::fs;
use std::path::PathBuf;

use podlan_conformance::lab::Error;
use serde_json::Value;

use crate::checks::pods::{holds, service_addresses};
use crate::cluster::Cluster;
use crate::objects::{self, DEPLOYMENTS, PORT};
use crate::steady::{Steady, at};

const NODES: [&str; 3] = ["node1", "node2", "node3"];
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/podlan";

/// The manifest under test, as a user applies it.
fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes")
}

pub fn nodes_wait(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    cluster.until("three nodes are registered with podCIDRs, and wait for a network", || {
        let nodes = cluster.list("/api/v1/nodes").map_err(|error| error.to_string())?;
        let waits = |node: &&Value| {
            let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            let has_cidrs = node["spec"]["podCIDRs"].as_array().is_some_and(|cidrs| cidrs.len() == 2);
            has_cidrs
                && conditions.any(|condition| {
                    let said = condition["message"].as_str().unwrap_or_default();
                    condition["type"] == "Ready"
                        && condition["status"] == "False"
                        && said.contains("cni plugin not initialized")
                })
        };
        if nodes.iter().filter(waits).count() == 3 { Ok(()) } else { Err(format!("{nodes:?}")) }
    })
}

pub fn manifest(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let folder = deploy();
    cluster.kubectl(&["apply", "-k"]).arg(&folder).succeeds()?;
    cluster.nodes_are_ready(&NODES)?;
    for machine in &cluster.machines {
        let lies = machine.node.place().enter(|| fs::read_to_string("/etc/cni/net.d/10-podlan.conflist"))?;
        let text = lies.map_err(|source| Error::System { doing: "read the conflist".into(), source })?;
        holds(text.contains("portmap"), "portmap is chained where it is installed", &text)?;
    }
    rolled_out(cluster)
}

fn rolled_out(cluster: &Cluster<'_>) -> Result<(), Error> {
    let status = ["rollout", "status", "-n", "kube-system", "daemonset/podlan", "--timeout=170s"];
    cluster.kubectl(&status).succeeds().map(drop)
}

/// Whether the daemon set's newest form runs on each node, as its controller says.
fn is_rolled_out(cluster: &Cluster<'_>) -> Result<bool, Error> {
    let set = cluster.get(DAEMON_SET)?;
    let status = |name: &str| set["status"][name].as_u64().unwrap_or(0);
    let seen = set["metadata"]["generation"] == set["status"]["observedGeneration"];
    Ok(seen && status("updatedNumberScheduled") == 3 && status("numberAvailable") == 3)
}

/// The agents' pods by uid.
fn agents(cluster: &Cluster<'_>) -> Result<Vec<String>, Error> {
    let list = cluster.list("/api/v1/namespaces/kube-system/pods?labelSelector=app.kubernetes.io%2Fname%3Dpodlan")?;
    Ok(list.iter().filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)).collect())
}

pub fn rolling_update(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let pods = cluster.ready("web", 3)?;
    let mut servers: Vec<String> = Vec::new();
    for pod in &pods {
        servers.extend(pod.addresses.iter().map(|address| at(&Value::from(address.to_string()), PORT)));
    }
    servers.extend(service_addresses(cluster)?.iter().map(|address| at(&Value::from(address.to_string()), 80)));
    let clients = ["node1", "node3"].map(|node| Steady::start(cluster, node, &servers));
    let clients: Vec<Steady> = clients.into_iter().collect::<Result<_, _>>()?;
    let before = agents(cluster)?;
    cluster.kubectl(&["rollout", "restart", "-n", "kube-system", "daemonset/podlan"]).succeeds()?;
    // Pods come and go meanwhile, on nodes whose agent is away.
    let mut rounds = 0;
    while !is_rolled_out(cluster)? {
        rounds += 1;
        cluster.create(DEPLOYMENTS, &objects::deployment("meanwhile", 6, false))?;
        cluster.ready("meanwhile", 6)?;
        cluster.delete(&format!("{DEPLOYMENTS}/meanwhile?propagationPolicy=Background"))?;
        cluster.ready("meanwhile", 0)?;
    }
    let after = agents(cluster)?;
    holds(after.len() == 3 && after.iter().all(|uid| !before.contains(uid)), "all agents are new", &(before, after))?;
    crate::story::note(&format!("{} pods came and went meanwhile", 6 * rounds));
    for client in &clients {
        let sum = client.goes_on(cluster, 500)?;
        crate::story::note(&format!("{} servers: {sum}", servers.len()));
        holds(sum.failed == 0, "no connection failed", &sum.failures)?;
    }
    clients.into_iter().try_for_each(|client| client.end(cluster))
}

pub fn uninstall(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let pods = cluster.ready("web", 3)?;
    cluster.kubectl(&["delete", "-k"]).arg(deploy()).succeeds()?;
    cluster.until("the agents are gone", || {
        let left = agents(cluster).map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    // What runs goes on: the links and routes are the kernel's.
    cluster.asks(&pods[0], PORT, &pods.iter().flat_map(|pod| pod.addresses.clone()).collect::<Vec<_>>())?;
    for machine in &cluster.machines {
        let left = machine.node.place().enter(|| -> Vec<String> {
            let files =
                ["/etc/cni/net.d/10-podlan.conflist", "/opt/cni/bin/podlan", "/opt/cni/bin/podlan-ipam", "/run/podlan"];
            files.into_iter().filter(|file| fs::metadata(file).is_ok()).map(str::to_owned).collect()
        })?;
        let network = machine.node.network()?;
        let routes = network.lines(&["route", "proto", "110"]).len();
        crate::story::note(&format!("left on {}: {}, {routes} routes", machine.node.name(), left.join(", ")));
    }
    Ok(())
}

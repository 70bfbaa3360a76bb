//! podlan itself in the cluster: installed, replaced, uninstalled.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use podlan_conformance::lab::{Error, Node, binaries};
use serde_json::Value;

use crate::kubernetes::checks::nodes;
use crate::kubernetes::checks::pods::{holds, service_addresses};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::machine::Machine;
use crate::kubernetes::objects::{self, DEPLOYMENTS, PORT};
use crate::kubernetes::server::FRONT;
use crate::kubernetes::steady::{Steady, at};

pub(super) const NODES: [&str; 3] = ["node1", "node2", "node3"];
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
    cluster.script("apply").succeeds()?;
    cluster.nodes_are_ready(&NODES)?;
    for machine in &cluster.machines {
        let read = machine.node.place().enter(|| fs::read_to_string("/etc/cni/net.d/10-podlan.conflist"))?;
        let text = read.map_err(|source| Error::System { doing: "read the conflist".into(), source })?;
        holds(
            text.contains("portMappings") && text.contains("1.1.0"),
            "podlan has the host ports, in CNI 1.1.0",
            &text,
        )?;
    }
    Ok(())
}

/// Whether the daemon set's newest template runs on each node, as its controller reports.
fn is_rolled_out(cluster: &Cluster<'_>) -> Result<bool, Error> {
    let set = cluster.get(DAEMON_SET)?;
    let status = |name: &str| set["status"][name].as_u64().unwrap_or(0);
    let seen = set["metadata"]["generation"] == set["status"]["observedGeneration"];
    Ok(seen && status("updatedNumberScheduled") == 3 && status("numberAvailable") == 3)
}

/// The agents' pods by uid.
pub(super) fn agents(cluster: &Cluster<'_>) -> Result<Vec<String>, Error> {
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
    // Pods are created and deleted meanwhile, on nodes without a running agent.
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
    crate::kubernetes::sequence::note(&format!("{} pods came and went meanwhile", 6 * rounds));
    for client in &clients {
        let sum = client.goes_on(cluster, 500)?;
        crate::kubernetes::sequence::note(&format!("{} servers: {sum}", servers.len()));
        holds(sum.failed == 0, "no connection failed", &sum.failures)?;
    }
    clients.into_iter().try_for_each(|client| client.end(cluster))
}

pub fn without_proxy(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    cluster.machines.iter_mut().try_for_each(Machine::lose_proxy)?;
    let endpoint = format!("{}:{FRONT}", cluster.server.node.v4());
    let variable = format!("CONTROL_PLANE_ENDPOINT={endpoint}");
    cluster.kubectl(&["set", "env", "-n", "kube-system", "daemonset/podlan", &variable]).succeeds()?;
    cluster.until("all agents have been replaced", || match is_rolled_out(cluster) {
        Ok(true) => Ok(()),
        Ok(false) => Err("not yet".to_owned()),
        Err(error) => Err(error.to_string()),
    })?;
    for machine in &cluster.machines {
        let status = machine.node.command(binaries::find("podlan-node")?).args(["status", "--json"]).succeeds()?;
        holds(status.contains(&format!("in cluster, at {endpoint}")), "the agent says where it reads nodes", &status)?;
    }
    nodes::deleted(cluster)
}

pub fn uninstall(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    // A node that was registered again has other CIDRs: nobody routes to what its pods of before kept.
    cluster.kubectl(&["rollout", "restart", "deployment/web"]).succeeds()?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=170s"]).succeeds()?;
    let pods = cluster.ready("web", 3)?;
    cluster.kubectl(&["delete", "-k"]).arg(deploy()).succeeds()?;
    cluster.until("the agents are gone", || {
        let left = agents(cluster).map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    // Running pods keep running: the links and routes are in the kernel.
    let all: Vec<IpAddr> = pods.iter().flat_map(|pod| pod.addresses.clone()).collect();
    cluster.connects(&pods[0], PORT, &all)?;
    cluster.delete(&format!("{DEPLOYMENTS}/web?propagationPolicy=Background"))?;
    no_pod_is_left(cluster)?;

    let cleanup = deploy().join("cleanup/cleanup.yaml");
    cluster.kubectl(&["apply", "-f"]).arg(&cleanup).succeeds()?;
    let status = ["rollout", "status", "-n", "kube-system", "daemonset/podlan-cleanup", "--timeout=170s"];
    cluster.kubectl(&status).succeeds()?;
    let logs = cluster
        .kubectl(&["logs", "-n", "kube-system", "-l", "app.kubernetes.io/name=podlan-cleanup", "--tail=-1"])
        .succeeds()?;
    cluster.kubectl(&["delete", "-f"]).arg(&cleanup).succeeds()?;
    for machine in &cluster.machines {
        let left = left_on(&machine.node)?;
        crate::kubernetes::sequence::note(&format!(
            "left on {}: {}",
            machine.node.name(),
            if left.is_empty() { "nothing".into() } else { left.join(", ") }
        ));
        holds(left.iter().all(|what| what == "/run/podlan"), "nothing is left but an empty folder", &(left, &logs))?;
    }
    Ok(())
}

/// A pod without a grace period disappears from the API before it does from its node.
pub(super) fn no_pod_is_left(cluster: &Cluster<'_>) -> Result<(), Error> {
    cluster.until("no pod is left on any node", || {
        let links = cluster.machines.iter().map(|machine| machine.node.network());
        let networks = links.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        // The link of the path probes stays until the cleanup.
        let is_a_pods = |line: &str| line.starts_with("link podl") && !line.starts_with("link podlprobe ");
        let held: Vec<String> =
            networks.iter().map(ToString::to_string).filter(|text| text.lines().any(is_a_pods)).collect();
        if held.is_empty() { Ok(()) } else { Err(held.join("\n")) }
    })
}

/// What podlan has left on a node, by name: files, links, routes, packet filter tables.
pub(super) fn left_on(node: &Node) -> Result<Vec<String>, Error> {
    let installed =
        ["/etc/cni/net.d/10-podlan.conflist", "/opt/cni/bin/podlan", "/opt/cni/bin/podlan-ipam", "/run/podlan"];
    let files =
        node.place().enter(|| installed.into_iter().filter(|file| fs::metadata(file).is_ok()).collect::<Vec<_>>())?;
    let network = node.network()?;
    let text = network.to_string();
    let ours = text.lines().filter(|line| line.contains("proto 110") || line.contains("podl"));
    let tables = node.command("nft").args(["list", "tables"]).succeeds()?;
    let tables = tables.lines().filter(|line| line.contains("podlan")).map(str::to_owned).collect::<Vec<_>>();
    Ok(files.into_iter().chain(ours).map(str::to_owned).chain(tables).collect())
}

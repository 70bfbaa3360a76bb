//! What users of the cluster use: pods, services, host ports, probes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podlan_conformance::lab::Error;
use serde_json::Value;

use crate::kubernetes::cluster::{Cluster, LAB};
use crate::kubernetes::objects::{self, DEPLOYMENTS, PODS, SERVICES};
use crate::kubernetes::queries::{Pod, saw};
use crate::kubernetes::sequence::note;
use crate::kubernetes::toolbox;

/// The deployment and the service that most checks use: one pod a node.
pub const WEB: &str = "web";
const HOST_PORT: u16 = 30_080;

pub fn deployment(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    cluster.create(DEPLOYMENTS, &objects::deployment(WEB, 3, true))?;
    cluster.create(SERVICES, &objects::service(WEB))?;
    let pods = cluster.ready(WEB, 3)?;
    let nodes: BTreeSet<&str> = pods.iter().map(|pod| pod.node.as_str()).collect();
    holds(nodes.len() == 3, "a pod runs on each node", &pods)?;
    let cidrs = cidrs(cluster)?;
    for pod in &pods {
        let own = |address: &IpAddr| cidrs.iter().any(|(node, cidr)| *node == pod.node && cidr.contains(*address));
        holds(pod.addresses.iter().all(own), "its addresses are of its node's podCIDRs", &(pod, &cidrs))?;
    }
    Ok(())
}

/// The pod CIDRs of each node, as the controller manager gave them.
pub fn cidrs(cluster: &Cluster<'_>) -> Result<Vec<(String, ipnetwork::IpNetwork)>, Error> {
    let nodes = cluster.list("/api/v1/nodes")?;
    let of = |node: &Value| {
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let cidrs = node["spec"]["podCIDRs"].as_array().cloned().unwrap_or_default();
        cidrs.into_iter().filter_map(move |cidr| Some((name.clone(), cidr.as_str()?.parse().ok()?)))
    };
    Ok(nodes.iter().flat_map(of).collect())
}

pub fn pod_to_pod(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let pods = cluster.ready(WEB, 3)?;
    let all: Vec<IpAddr> = pods.iter().flat_map(|pod| pod.addresses.clone()).collect();
    for pod in &pods {
        let targets = podlan_conformance::lab::every(&all);
        let mut command = vec![LAB.to_owned(), "probe".into()];
        command.extend(targets.iter().map(ToString::to_string));
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let seen = saw(&cluster.exec(&pod.name, &command)?)?;
        holds(seen.len() == targets.len(), "each answers", &seen)?;
        holds(
            seen.iter().all(|address| pod.addresses.contains(address)),
            "it is seen at its own address",
            &(pod, seen),
        )?;
    }
    Ok(())
}

/// The addresses of the service, one of each family.
pub fn service_addresses(cluster: &Cluster<'_>) -> Result<Vec<IpAddr>, Error> {
    let service = cluster.get(&format!("{SERVICES}/{WEB}"))?;
    let addresses = service["spec"]["clusterIPs"].as_array().into_iter().flatten();
    Ok(addresses.filter_map(|address| address.as_str()?.parse().ok()).collect())
}

/// The tests that `scripts/kind-up` runs on a user's cluster, by the same script.
pub fn smoke(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let manifest = include_str!("../../../../../deploy/smoke/smoke.yaml");
    let image = manifest.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    toolbox::give(cluster, image)?;
    let said = cluster.script("smoke").succeeds()?;
    note(said.lines().last().unwrap_or_default());
    Ok(())
}

pub fn pod_to_service(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let pods = cluster.ready(WEB, 3)?;
    let service = service_addresses(cluster)?;
    holds(service.len() == 2, "it has an address of each family", &service)?;
    for pod in &pods {
        let asked: Vec<IpAddr> = service.iter().copied().cycle().take(20).collect();
        // A pod that a service leads back to itself is seen at its node's address: the proxy must masquerade there.
        let seen = cluster.connects(pod, 80, &asked)?;
        let own = seen.iter().filter(|address| pod.addresses.contains(address)).count();
        holds(own > 0, "some server sees the pod's own address through the service", &(pod, &seen))?;
    }
    Ok(())
}

pub fn node_to_pod(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let pods = cluster.ready(WEB, 3)?;
    let all: Vec<IpAddr> = pods.iter().flat_map(|pod| pod.addresses.clone()).collect();
    let service = service_addresses(cluster)?;
    for machine in &cluster.machines {
        machine.node.reaches(&all)?;
        let targets = service.iter().map(|address| format!("tcp={address}"));
        let probe = machine.node.command(podlan_conformance::lab::binaries::lab()?).args(["probe", "--port", "80"]);
        saw(&probe.args(targets).succeeds()?)?;
    }
    Ok(())
}

pub fn host_port(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let pod = cluster.run(&objects::serving_at("edge", "node2", HOST_PORT))?;
    let [one, two, three] = [0, 1, 2].map(|index| &cluster.machines[index].node);
    for from in [one, three] {
        let targets = two.ips().into_iter().map(|address| format!("tcp={address}"));
        let probe = from.command(podlan_conformance::lab::binaries::lab()?).args(["probe", "--port"]);
        let seen = saw(&probe.arg(HOST_PORT.to_string()).args(targets).succeeds()?)?;
        holds(seen == from.ips(), "the pod sees the asking node's own addresses", &(from.name(), seen))?;
    }
    cluster.delete(&format!("{PODS}/{}", pod.name))?;
    cluster.ready("edge", 0).map(drop)
}

pub fn probes(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    cluster.create(PODS, &objects::never_ready("mute", "node3"))?;
    cluster.run(&objects::ready_by_http("http", "node3"))?;
    let refused = "the mute pod runs, and its probe was refused by it";
    cluster.until(refused, || {
        let mute = cluster.pods("mute").map_err(|error| error.to_string())?;
        let events = cluster
            .list("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dmute,reason%3DUnhealthy");
        let events = events.map_err(|error| error.to_string())?;
        let refused = events.iter().any(|event| event["message"].as_str().is_some_and(|said| said.contains("refused")));
        if refused && mute.iter().all(|pod| !pod.ready) { Ok(()) } else { Err(format!("{mute:?} {events:?}")) }
    })?;
    for name in ["mute", "http"] {
        cluster.delete(&format!("{PODS}/{name}"))?;
        cluster.ready(name, 0)?;
    }
    Ok(())
}

pub fn a_hundred(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    const CROWD: &str = "crowd";
    cluster.create(DEPLOYMENTS, &objects::deployment(CROWD, 100, false))?;
    let pods = cluster.ready(CROWD, 100)?;
    let addresses: BTreeSet<IpAddr> = pods.iter().flat_map(|pod| pod.addresses.clone()).collect();
    holds(addresses.len() == 200, "no address is given twice", &addresses)?;
    let web: Vec<Pod> = cluster.ready(WEB, 3)?;
    let pings: Vec<String> = pods.iter().flat_map(|pod| &pod.addresses).map(ToString::to_string).collect();
    for address in pings.iter().step_by(8) {
        cluster.exec(&web[0].name, &[LAB, "ping", address])?;
    }
    cluster.delete(&format!("{DEPLOYMENTS}/{CROWD}?propagationPolicy=Background"))?;
    cluster.ready(CROWD, 0)?;
    Ok(())
}

/// A fact that must hold, with what was seen.
pub fn holds(fact: bool, what: &str, seen: &dyn std::fmt::Debug) -> Result<(), Error> {
    if fact {
        Ok(())
    } else {
        Err(Error::Unreadable { from: format!("it should hold that {what}"), said: format!("{seen:?}") })
    }
}

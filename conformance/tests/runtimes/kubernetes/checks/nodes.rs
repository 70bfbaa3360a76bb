//! Nodes that leave and return.

use podlan_conformance::lab::Error;

use crate::kubernetes::checks::pods::{cidrs, holds};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::objects::{self, PODS, PORT};

const NODES: [&str; 3] = ["node1", "node2", "node3"];
const LAST: &str = "/api/v1/nodes/node3";

/// The routes that the first node's agent has set to these CIDRs.
fn routes(cluster: &Cluster<'_>, cidrs: &[String]) -> Result<usize, Error> {
    let network = cluster.machines[0].node.network()?;
    Ok(cidrs.iter().map(|cidr| network.lines(&["route", "unicast", cidr, "proto", "110"]).len()).sum())
}

fn cidrs_of_the_last(cluster: &Cluster<'_>) -> Result<Vec<String>, Error> {
    Ok(cidrs(cluster)?.into_iter().filter(|(node, _)| node == "node3").map(|(_, cidr)| cidr.to_string()).collect())
}

pub fn deleted(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let old = cidrs_of_the_last(cluster)?;
    holds(routes(cluster, &old)? == 2, "the first node has routes to the last", &old)?;
    cluster.delete(LAST)?;
    cluster.until("the routes to the deleted node are gone", || {
        let left = routes(cluster, &old).map_err(|error| error.to_string())?;
        if left == 0 { Ok(()) } else { Err(format!("{left} routes")) }
    })?;
    // A kubelet registers its node when it starts.
    cluster.restart_kubelet(2)?;
    cluster.nodes_are_ready(&NODES)?;
    serves_again(cluster)
}

/// A pod on the last node is reached from the first, by routes to the node's present CIDRs.
fn serves_again(cluster: &Cluster<'_>) -> Result<(), Error> {
    let new = cidrs_of_the_last(cluster)?;
    cluster.until("the first node has routes to the last", || {
        let there = routes(cluster, &new).map_err(|error| error.to_string())?;
        if there == 2 { Ok(()) } else { Err(format!("{there} routes to {new:?}")) }
    })?;
    let pod = cluster.run(&objects::serving("again", "node3"))?;
    holds(
        pod.addresses.iter().all(|address| {
            new.iter().any(|cidr| cidr.parse::<ipnetwork::IpNetwork>().is_ok_and(|cidr| cidr.contains(*address)))
        }),
        "a new pod's addresses are of the node's present CIDRs",
        &(&pod, &new),
    )?;
    cluster.ready("web", 3)?;
    let from = cluster.run(&objects::serving("asker", "node1"))?;
    let seen = cluster.connects(&from, PORT, &pod.addresses)?;
    holds(seen == from.addresses, "it is reached from a pod, and sees that one's own address", &seen)?;
    for name in ["again", "asker"] {
        cluster.delete(&format!("{PODS}/{name}"))?;
        cluster.ready(name, 0)?;
    }
    Ok(())
}

pub fn rebooted(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let boot = |cluster: &Cluster<'_>| Ok::<_, Error>(cluster.get(LAST)?["status"]["nodeInfo"]["bootID"].clone());
    let container = |cluster: &Cluster<'_>| {
        let pod = cluster.get(&format!("{PODS}/kept"))?;
        Ok::<_, Error>(pod["status"]["containerStatuses"][0]["containerID"].clone())
    };
    let before = cluster.run(&objects::serving("kept", "node3"))?;
    let (old_boot, old_container) = (boot(cluster)?, container(cluster)?);
    cluster.reboot(2)?;
    // Until its kubelet reports again, the API server has the former state.
    cluster.until("the node has a new boot id, and its pod a new container", || {
        let now = boot(cluster).and_then(|boot| Ok((boot, container(cluster)?))).map_err(|error| error.to_string())?;
        if now.0 != old_boot && now.1 != old_container { Ok(()) } else { Err(format!("{now:?}")) }
    })?;
    cluster.nodes_are_ready(&NODES)?;
    let kept = cluster.ready("kept", 1)?.remove(0);
    holds(kept.uid == before.uid, "the same pod runs again", &(before, &kept))?;
    let web = cluster.ready("web", 3)?;
    for from in &web {
        let seen = cluster.connects(from, PORT, &kept.addresses)?;
        holds(seen == from.addresses, "it is reached from every node, and sees the asking pod's own address", &seen)?;
    }
    serves_again(cluster)?;
    cluster.delete(&format!("{PODS}/kept"))?;
    cluster.ready("kept", 0).map(drop)
}

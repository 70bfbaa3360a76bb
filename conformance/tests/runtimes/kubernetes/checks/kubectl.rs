//! `kubectl podlan` in the cluster: found by kubectl as a plugin, with the rights that docs/kubectl.md gives and no others.

use std::collections::BTreeSet;
use std::path::Path;

use podlan_conformance::lab::{Command, Error, binaries};
use serde_json::Value;

use crate::kubernetes::checks::pods::{WEB, holds};
use crate::kubernetes::cluster::{Cluster, WHILE};
use crate::kubernetes::sequence::note;
use crate::kubernetes::toolbox;

const NODES: [&str; 3] = ["node1", "node2", "node3"];

/// The user that has the rights of deploy/krew/rights.yaml.
const OPERATOR: &str = "podlan-operator";

/// `kubectl podlan`, on the first node.
fn podlan(cluster: &Cluster<'_>, words: &[&str]) -> Result<Command, Error> {
    let plugin = binaries::find("kubectl-podlan")?;
    let folders = [Some(cluster.server.programs.as_path()), plugin.parent()];
    let path = std::env::join_paths(folders.into_iter().flatten());
    let path = path.map_err(|error| Error::Unreadable { from: "PATH".into(), said: error.to_string() })?;
    Ok(cluster.kubectl(&[&["podlan"], words].concat()).env("PATH", path).deadline(WHILE))
}

/// Its JSON, and its exit code, asked by the operator.
fn json(cluster: &Cluster<'_>, words: &[&str]) -> Result<(Value, i32), Error> {
    let output = podlan(cluster, &[words, &["--as", OPERATOR, "--json"]].concat())?.run()?;
    let value = serde_json::from_str(&output.stdout).map_err(|_| output.clone().but("it should have printed JSON"))?;
    Ok((value, output.status.and_then(|status| status.code()).unwrap_or(-1)))
}

fn texts<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    list.as_array().into_iter().flatten().filter_map(|item| item[key].as_str()).collect()
}

/// Each command, asked by a user with the stated rights.
pub fn commands(cluster: &mut Cluster<'_>) -> Result<(), Error> {
    let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/krew/rights.yaml");
    cluster.kubectl(&["apply", "--filename"]).arg(&rights).succeeds()?;
    let user = format!("--user={OPERATOR}");
    let view = ["create", "clusterrolebinding", "podlan-operator", "--clusterrole=podlan-view", &user];
    cluster.kubectl(&view).succeeds()?;
    let ask = ["create", "rolebinding", "podlan-operator", "--namespace=kube-system", "--role=podlan-ask", &user];
    cluster.kubectl(&ask).succeeds()?;

    let (status, code) = json(cluster, &["status"])?;
    holds(code == 0 && texts(&status["nodes"], "node") == NODES, "each node is ready", &status)?;
    holds(status["skew"] == false && status["unreachable"] == serde_json::json!([]), "of one release", &status)?;

    // Paths are judged some seconds after agents and pods started.
    cluster.until("each path between the nodes is open", || {
        let (paths, code) = json(cluster, &["paths"]).map_err(|error| error.to_string())?;
        if code == 0 && paths["counts"]["ipv4"]["open"] == 6 { Ok(()) } else { Err(paths.to_string()) }
    })?;
    let pods = cluster.ready(WEB, 3)?;
    let traced = json(cluster, &["trace", &pods[0].name, &format!("default/{}", pods[1].name)])?;
    let hops = traced.0["ways"][0]["legs"][0]["hops"].as_array().map_or(0, Vec::len);
    holds(
        traced.1 == 0 && hops == 9 && traced.0["ways"].as_array().map(Vec::len) == Some(2),
        "the way is whole",
        &traced,
    )?;

    let (leases, code) = json(cluster, &["leases"])?;
    let leased: BTreeSet<&str> = texts(&leases["leases"], "address").into_iter().collect();
    let all = pods.iter().flat_map(|pod| &pod.addresses).all(|address| leased.contains(address.to_string().as_str()));
    holds(code == 0 && all, "each pod's address is leased", &leases)?;

    let (doctor, code) = json(cluster, &["doctor"])?;
    holds(code != 1, "nothing is wrong", &doctor["wrong"])?;
    let (map, code) = json(cluster, &["map"])?;
    holds(code == 0 && map["segments"] == serde_json::json!([[0, 1, 2]]), "the nodes are one segment", &map)?;

    let archive = "/run/cluster.tar.gz";
    let (report, code) = json(cluster, &["report", "--output", archive])?;
    holds(
        code == 0 && report["bytes"].as_object().is_some_and(|bytes| bytes.len() == 3),
        "each node reports",
        &report,
    )?;

    // Without the rights it says which are missing, and that not everything could be asked.
    let refused = podlan(cluster, &["status", "--as", "nobody"])?.fails()?;
    let is_said = refused.stderr.contains("forbidden") && refused.status.and_then(|status| status.code()) == Some(2);
    holds(is_said, "missing rights are named", &refused.report())?;

    // A person with all rights runs the test of the network.
    let manifest = include_str!("../../../../../deploy/smoke/smoke.yaml");
    let image = manifest.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    toolbox::give(cluster, image)?;
    let said = podlan(cluster, &["smoke"])?.succeeds()?;
    note(said.lines().last().unwrap_or_default());
    Ok(())
}

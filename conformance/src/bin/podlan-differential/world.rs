//! The state that a group of requests meets: a node of the lab with nothing on it but an agent's word that it is ready.

use std::fs;
use std::path::Path;

use podlan_conformance::lab::{self, Node};
use serde_json::json;

use crate::Error;
use crate::request::Request;

/// What is left where it is when everything else of /run is emptied.
const KEPT: [&str; 3] = ["netns", "lab", "bin"];

/// Makes the pod whose network namespace a request names, where there is none yet.
pub(crate) fn furnish(node: &Node, request: &Request) {
    let netns = request
        .variable("CNI_NETNS")
        .and_then(|path| path.strip_prefix("/run/netns/").or_else(|| path.strip_prefix("/var/run/netns/")));
    if let Some(name) =
        netns.filter(|name| !name.is_empty() && !name.contains('/') && *name != "nobody" && *name != "..")
    {
        // What has the name already is what the request before has met.
        node.pod(name).ok();
    }
}

/// Says in the agent's place that it is ready, as `node.json` does.
pub(crate) fn say_ready(node: &Node) -> Result<(), Error> {
    let said = json!({
        "version": 1, "ready": true, "routed": true, "reasons": [], "bootTime": 0, "staleAfter": u32::MAX,
        "node": node.name(), "podCIDRs": node.pod_cidrs().map(|cidr| cidr.to_string()), "addresses": node.ips(),
    });
    let folder = node.path("/run/podlan");
    fs::create_dir_all(&folder).map_err(Error::system("make /run/podlan"))?;
    fs::write(folder.join("node.json"), said.to_string()).map_err(Error::system("write node.json"))
}

/// Empties the node's /run of what a request may have made.
pub(crate) fn empty(node: &Node) -> Result<(), lab::Error> {
    node.place().enter(|| {
        for folder in ["/run", "/var/lib/cni"] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if !KEPT.iter().any(|kept| entry.file_name() == *kept) {
                    remove(&entry.path());
                }
            }
        }
    })
}

/// What cannot be removed stays, for both builds.
fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        fs::remove_dir_all(path).ok();
    }
}

//! The state in which a group of requests runs: a node of the lab that is empty, except for an agent's report that it
//! is ready.

use std::fs;
use std::path::Path;

use podlan_conformance::lab::{self, Node};
use serde_json::json;

use crate::Error;
use crate::request::Request;

/// The entries of /run that are kept when the rest is removed.
const KEPT: [&str; 3] = ["netns", "lab", "bin"];

/// Makes the pod of the network namespace that a request names, if it does not exist yet.
pub(crate) fn furnish(node: &Node, request: &Request) {
    let netns = request
        .variable("CNI_NETNS")
        .and_then(|path| path.strip_prefix("/run/netns/").or_else(|| path.strip_prefix("/var/run/netns/")));
    if let Some(name) =
        netns.filter(|name| !name.is_empty() && !name.contains('/') && *name != "nobody" && *name != "..")
    {
        // Whatever has the name already is state that the request before has used too.
        node.pod(name).ok();
    }
}

/// Reports in the agent's place that it is ready, in `node.json`.
pub(crate) fn say_ready(node: &Node) -> Result<(), Error> {
    let said = json!({
        "version": 1, "ready": true, "routed": true, "reasons": [], "bootTime": 0, "staleAfter": u32::MAX,
        "node": node.name(), "podCIDRs": node.pod_cidrs().map(|cidr| cidr.to_string()), "addresses": node.ips(),
    });
    let folder = node.path("/run/podlan");
    fs::create_dir_all(&folder).map_err(Error::system("make /run/podlan"))?;
    fs::write(folder.join("node.json"), said.to_string()).map_err(Error::system("write node.json"))
}

/// Removes from the node's /run what a request may have made.
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

/// What cannot be removed stays, for both builds alike.
fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        fs::remove_dir_all(path).ok();
    }
}

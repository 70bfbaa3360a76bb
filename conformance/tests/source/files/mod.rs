//! Lists of nodes as people have them, and with faults: what is missing is not removed, an odd entry affects itself only,
//! and a file is found through any symlinks.
//!
//! ```text
//!   node1 (agent, nodes file) ──┬── node2 ── node3
//!                              lan
//! ```

#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

mod large;
mod links;
mod missing;
mod odd_files;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use podlan_conformance::agent::{self, has, has_not, has_routes_to, routes as ours, state, stop};
use podlan_conformance::cluster::{list, node_list as listed};
use podlan_conformance::lab::{Error, Node, Running, binaries, eventually};

const SOON: Duration = Duration::from_secs(10);

/// The output of `podlan-node status --json`.
fn said(node: &Node) -> Result<String, Error> {
    Ok(node.command(binaries::find("podlan-node")?).args(["status", "--json"]).run()?.stdout)
}

/// Waits until status prints this text.
fn status_names(node: &Node, words: &str) -> Result<(), Error> {
    eventually(SOON, &format!("status names {words:?}"), || match said(node) {
        Ok(said) if said.contains(words) => Ok(()),
        Ok(said) => Err(said),
        Err(error) => Err(error.to_string()),
    })
}

/// Waits until this agent has reported that it is ready.
fn is_ready(node: &Node, running: &Running) -> Result<(), Error> {
    eventually(SOON, "the agent is ready", || agent::is_ready(node, running.id()))
}

/// The agent of `node` with the nodes at `path`.
fn agent_on(node: &Node, path: &str, arguments: &[&str]) -> Result<Running, Error> {
    node.command(binaries::find("podlan-node")?)
        .args(["run", "--node-name", node.name(), "--nodes", path])
        .args(arguments)
        .spawn()
}

/// A list of these nodes.
fn of(nodes: &[&Node]) -> String {
    listed(&nodes.iter().map(|node| node.as_kubernetes()).collect::<Vec<_>>())
}

/// A directory of `node`, made.
fn folder(node: &Node, path: &str) -> PathBuf {
    let folder = node.path(path);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn node_command(node: &Node, command: &str) -> Result<String, Error> {
    node.command(binaries::find("podlan-node")?).arg(command).succeeds()
}

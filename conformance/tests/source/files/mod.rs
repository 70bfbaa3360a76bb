//! Lists of nodes as people have them, and as they are when something is wrong: what is missing is not gone, what is odd is
//! its own fault, and a file is found wherever links lead.
//!
//! ```text
//!   node1 (agent, nodes file) ──┬── node2 ── node3
//!                              lan
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot lay out its files has failed")]

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

/// Waits until a route with these words is in, for no longer than people wait.
fn has_within(node: &Node, deadline: Duration, fact: &str, words: &[&str]) -> Result<(), Error> {
    eventually(deadline, fact, || has(node, words))
}

/// All that `podlan-node status` says.
fn said(node: &Node) -> Result<String, Error> {
    Ok(node.command(binaries::find("podlan-node")?).args(["status", "--json"]).run()?.stdout)
}

/// Waits until status says this.
fn says(node: &Node, words: &str) -> Result<(), Error> {
    eventually(SOON, &format!("status says {words:?}"), || match said(node) {
        Ok(said) if said.contains(words) => Ok(()),
        Ok(said) => Err(said),
        Err(error) => Err(error.to_string()),
    })
}

/// Waits until the agent with this pid has said that it is ready.
fn is_ready(node: &Node, running: &Running) -> Result<(), Error> {
    eventually(SOON, "the agent is ready", || agent::is_ready(node, running.id()))
}

/// The agent of `node` on the nodes at `path`.
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

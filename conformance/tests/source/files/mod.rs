//! Lists of nodes as people have them, and as they are when something is wrong: what is missing is not gone, what is odd is
//! its own fault, and a file is found wherever links lead.
//!
//! ```text
//!   node1 (agent, nodes file) ──┬── node2 ── node3
//!                              lan
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot lay out its files has failed")]

mod files;
mod large;
mod missing;
mod odd_files;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use netlink::NODE_ROUTE;
use podlan_conformance::lab::{Error, Lab, Node, Running, binaries, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

/// The routes under the agent's number, as text.
fn ours(node: &Node) -> Result<Vec<String>, Error> {
    Ok(node.network()?.lines(&["route", "proto", &NODE_ROUTE.to_string()]).into_iter().map(str::to_owned).collect())
}

/// Whether `node` has a route that these words are in.
fn has(node: &Node, words: &[&str]) -> Result<(), String> {
    let network = node.network().map_err(|error| error.to_string())?;
    if network.lines(words).is_empty() { Err(network.to_string()) } else { Ok(()) }
}

fn has_not(node: &Node, words: &[&str]) -> Result<(), String> {
    has(node, words).map_or(Ok(()), |()| Err(format!("{words:?} is still there")))
}

/// Waits for the routes to the pods of `other`, both families.
fn knows(node: &Node, other: &Node) -> Result<(), Error> {
    eventually(SOON, &format!("{} knows the way to {}", node.name(), other.name()), || {
        other.pod_cidrs().iter().try_for_each(|cidr| has(node, &["unicast", &cidr.to_string(), "110"]))
    })
}

/// Waits until a route with these words is in, for no longer than people wait.
fn has_within(node: &Node, deadline: Duration, fact: &str, words: &[&str]) -> Result<(), Error> {
    eventually(deadline, fact, || has(node, words))
}

fn state(node: &Node) -> Value {
    let text = fs::read_to_string(node.path("/run/podlan/node.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
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
fn is_ready(node: &Node, agent: &Running) -> Result<(), Error> {
    eventually(SOON, "the agent is ready", || match state(node) {
        state if state["ready"] == true && state["pid"] == agent.id() => Ok(()),
        state => Err(state.to_string()),
    })
}

fn stop(agent: Running) -> Result<(), Error> {
    agent.stop(Duration::from_secs(5)).map(drop)
}

/// The agent of `node` on the nodes at `path`.
fn agent_on(node: &Node, path: &str, arguments: &[&str]) -> Result<Running, Error> {
    node.command(binaries::find("podlan-node")?)
        .args(["run", "--node-name", node.name(), "--nodes", path])
        .args(arguments)
        .spawn()
}

/// Writes a list of Kubernetes nodes where all agents look.
fn list(lab: &Lab, items: &[Value]) -> Result<(), Error> {
    lab.write_nodes(&listed(items))
}

fn listed(items: &[Value]) -> String {
    json!({ "kind": "NodeList", "items": items }).to_string()
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

//! What tests read of a node's agent: its state file, `podlan-node status`, its metrics and its routes; and waiting for
//! routes to other nodes.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{Error, Node, Running, binaries, eventually};

/// The address at which test agents serve health and metrics: the node's loopback, so that each node can have one.
pub const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9799);

/// The deadline for a fact to become true on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// The text of node.json; empty where there is none.
#[must_use]
pub fn state_text(node: &Node) -> String {
    fs::read_to_string(node.path("/run/podlan/node.json")).unwrap_or_default()
}

/// The contents of node.json; null where there is none.
#[must_use]
pub fn state(node: &Node) -> Value {
    serde_json::from_str(&state_text(node)).unwrap_or(Value::Null)
}

/// The output of `podlan-node status --json`; null where it prints nothing.
///
/// # Errors
/// When it cannot be started.
pub fn status(node: &Node) -> Result<Value, Error> {
    let output = node.command(binaries::find("podlan-node")?).args(["status", "--json"]).run()?;
    Ok(serde_json::from_str(&output.stdout).unwrap_or(Value::Null))
}

/// All metrics of the agent that listens at [`METRICS`].
///
/// # Errors
/// As a text, for polls.
pub fn metrics(node: &Node) -> Result<String, String> {
    metrics_at(node, METRICS)
}

/// All metrics of the agent of `node` that listens at `at`.
///
/// # Errors
/// As a text, for polls.
pub fn metrics_at(node: &Node, at: SocketAddr) -> Result<String, String> {
    node.place().http_get(at, "/metrics")
}

/// Whether the agent of `node` that listens at `at` answers /readyz with success.
///
/// # Errors
/// As a text, for polls: its answer.
pub fn serves_ready(node: &Node, at: SocketAddr) -> Result<(), String> {
    match node.place().http_get(at, "/readyz")? {
        answer if answer.starts_with("HTTP/1.1 200 OK") => Ok(()),
        answer => Err(answer),
    }
}

/// The value of one metric, named with its labels: `podlan_node_ready`.
///
/// # Errors
/// As a text, for polls: all metrics, when none has this name or its value is no whole number.
pub fn metric(node: &Node, name: &str) -> Result<u64, String> {
    let served = metrics(node)?;
    let value = served.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
    value.ok_or(served)
}

/// Whether the agent with this process id has reported that it is ready.
///
/// # Errors
/// As a text, for polls: the state that it reported.
pub fn is_ready(node: &Node, pid: u32) -> Result<(), String> {
    match state(node) {
        said if said["ready"] == true && said["pid"] == pid => Ok(()),
        said => Err(said.to_string()),
    }
}

/// Ends the agent as a supervisor does.
///
/// # Errors
/// When it does not end.
pub fn stop(agent: Running) -> Result<(), Error> {
    agent.stop(SOON).map(drop)
}

/// The agent's routes (of routing protocol 110), as text.
///
/// # Errors
/// When the node's network cannot be read.
pub fn routes(node: &Node) -> Result<Vec<String>, Error> {
    Ok(node.network()?.lines(&["route", "proto", "110"]).into_iter().map(str::to_owned).collect())
}

/// Whether a line of the node's network state has all of these words.
///
/// # Errors
/// As a text, for polls: the whole network state.
pub fn has(node: &Node, words: &[&str]) -> Result<(), String> {
    let network = node.network().map_err(|error| error.to_string())?;
    if network.lines(words).is_empty() { Err(network.to_string()) } else { Ok(()) }
}

/// Whether no line of the node's network state has all of these words.
///
/// # Errors
/// As a text, for polls.
pub fn has_not(node: &Node, words: &[&str]) -> Result<(), String> {
    has(node, words).map_or(Ok(()), |()| Err(format!("{words:?} is still there")))
}

/// Waits for the routes to the pods of `other`, both families.
///
/// # Errors
/// [`Error::Never`] past the deadline.
pub fn has_routes_to(node: &Node, other: &Node) -> Result<(), Error> {
    eventually(SOON, &format!("{} has routes to {}", node.name(), other.name()), || {
        other.pod_cidrs().iter().try_for_each(|cidr| has(node, &["unicast", &cidr.to_string(), "110"]))
    })
}

/// Waits until the peers that `node` has routes to are exactly these.
///
/// # Errors
/// [`Error::Never`] past the deadline, with the routes that it has.
pub fn routes_to(node: &Node, peers: &[&Node]) -> Result<(), Error> {
    let expected: BTreeSet<String> =
        peers.iter().flat_map(|peer| peer.pod_cidrs()).map(|cidr| cidr.to_string()).collect();
    eventually(SOON, &format!("routes to {expected:?} and no others"), || {
        let network = node.network().map_err(|error| error.to_string())?;
        let held = network.lines(&["unicast", "proto", "110"]);
        let all = expected.iter().all(|cidr| held.iter().any(|line| line.contains(cidr.as_str())));
        if all && held.len() == expected.len() { Ok(()) } else { Err(format!("{held:?}\n{}", state_text(node))) }
    })
}

/// The configuration of the plugin that the agent of `node` wrote below `/run/net.d`, once it is there, as a runtime that speaks
/// CNI 1.0.0 hands it on.
///
/// # Errors
/// It does not come.
pub fn installed(node: &Node) -> Result<Value, Error> {
    let list: Value = eventually(SOON, "the conflist is there", || {
        let read = fs::read_to_string(node.path("/run/net.d/10-podlan.conflist"));
        serde_json::from_str(&read.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    })?;
    let mut config = list["plugins"][0].clone();
    config["name"] = list["name"].clone();
    config["cniVersion"] = json!("1.0.0");
    Ok(config)
}

//! Nodes with an agent and a pod each, and what their agents say of the paths between them.

use std::fs;
use std::time::{Duration, Instant};

use podlan_conformance::agent::state;
use podlan_conformance::lab::{Added, Error, Node, Place, Pod, Running, eventually};
use serde_json::Value;

/// Long enough for a busy machine. How long a verdict takes is printed, not limited.
pub(crate) const SOON: Duration = Duration::from_secs(45);

pub(crate) const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// A node with a pod, so that it forwards, and an agent.
pub(crate) struct Here<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pod: &'a Pod<'a>,
    pub(crate) at: Added,
    pub(crate) agent: Running,
    _serves: Running,
}

impl<'a> Here<'a> {
    pub(crate) fn start(node: &'a Node, pod: &'a Pod<'a>, options: &[&str]) -> Result<Self, Error> {
        let at = pod.add(&node.podnet())?;
        let serves = pod.serve()?;
        let agent = node.agent(options)?;
        Ok(Self { node, pod, at, agent, _serves: serves })
    }

    /// The same of an agent that was started otherwise.
    pub(crate) fn of(node: &'a Node, pod: &'a Pod<'a>, at: Added, agent: Running, serves: Running) -> Self {
        Self { node, pod, at, agent, _serves: serves }
    }

    /// Whether the pod reaches the other's, in both families, and is seen with its own addresses.
    pub(crate) fn reaches(&self, other: &Self) -> Result<(), Error> {
        self.pod.reaches(&self.at, &other.at.ips())
    }
}

/// The agent's verdict on the path to a peer.
pub(crate) fn verdict(node: &Node, peer: &Node, family: &str) -> String {
    let paths = &state(node)["paths"];
    match line(paths, peer.name(), family) {
        Some(line) => line["state"].as_str().unwrap_or_default().to_owned(),
        // The open ones are counted, not listed.
        None => {
            let counts = &paths["counts"][family];
            let of = |word: &str| counts[word].as_u64().unwrap_or_default();
            match (of("unknown"), of("no-agent"), of("open")) {
                (0, 0, open) if open > 0 => "open".to_owned(),
                (0, no_agent, _) if no_agent > 0 => "open or no-agent".to_owned(),
                _ => "unknown".to_owned(),
            }
        }
    }
}

/// The line of `node.json` on the path to a peer; none for an open one.
pub(crate) fn line<'v>(paths: &'v Value, peer: &str, family: &str) -> Option<&'v Value> {
    paths["worst"].as_array()?.iter().find(|line| line["node"] == peer && line["family"] == family)
}

/// Waits until the path from `node` to `peer` has this verdict in these families; returns how long that took.
pub(crate) fn becomes(
    what: &str,
    here: &Here<'_>,
    peer: &Node,
    families: &[&str],
    wanted: &[&str],
) -> Result<Duration, Error> {
    let began = Instant::now();
    eventually(SOON, &format!("{what}: {} finds {wanted:?}", here.node.name()), || {
        let found: Vec<String> = families.iter().map(|family| verdict(here.node, peer, family)).collect();
        match found.iter().all(|found| wanted.contains(&found.as_str())) {
            true => Ok(()),
            false => Err(format!("{found:?}\n{}\n{}", state(here.node)["paths"], here.agent.stderr())),
        }
    })?;
    Ok(began.elapsed())
}

/// All paths between these nodes are open.
pub(crate) fn all_open(what: &str, nodes: &[&Here<'_>]) -> Result<(), Error> {
    for here in nodes {
        for peer in nodes.iter().filter(|peer| peer.node.name() != here.node.name()) {
            becomes(what, here, peer.node, &FAMILIES, &["open"])?;
        }
    }
    Ok(())
}

/// Runs a script on the LAN, outside of the nodes.
pub(crate) fn on_the_lan(script: &str) -> Result<String, Error> {
    podlan_conformance::lab::Command::new(Place::lab()?, "sh").args(["-c", script]).succeeds()
}

/// Writes a sysctl of a node.
pub(crate) fn set(node: &Node, path: &str, value: &str) -> Result<(), Error> {
    let written = node.place().enter(|| fs::write(path, value))?;
    written.map_err(|source| Error::System { doing: format!("write {path} on {}", node.name()), source })
}

//! The lab: a LAN of nodes inside namespaces of its own, gone when its first process is gone.
//!
//! ```text
//!   the machine ── podlan-lab enter ── init (PID 1 of the lab) ── a test, the demo, a shell
//!                                        │
//!                        lan (bridge) ───┴── node1, node2, node3: network + mount + uts namespace each
//!                                               └── pods: network namespaces under the node's /run/netns
//! ```
//!
//! It never touches a link, route, file or sysctl of the machine, and needs neither root nor any program. A test starts
//! with [`within`], makes a [`Lab`], and uses its nodes and pods.

pub mod binaries;
mod churn;
mod command;
pub mod confine;
pub mod enter;
mod error;
mod http;
pub mod init;
mod kernel;
mod mounts;
mod node;
mod patience;
mod place;
mod pod;
mod processes;
mod reach;
pub mod refusal;
mod sabotage;
mod settings;
mod snapshot;
mod wire;
mod within;
pub mod without;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub use churn::Churn;
pub use command::{Command, DEADLINE, Output, Running};
pub use error::Error;
pub use init::SHARED;
pub use node::Node;
pub use patience::{patient, until};
pub use place::Place;
pub use pod::{Added, Complaint, Pod, added};
pub use reach::{PORT, every};
pub use refusal::{Refusal, Step};
pub use sabotage::{Sabotage, has_strace};
pub use snapshot::Snapshot;
pub use wire::remove_in;
pub use within::{set_aside, skip, within, within_with_strace};

/// Set in the environment of every process inside a lab.
pub const INSIDE: &str = "PODLAN_LAB";

/// The bridge that is the LAN.
const LAN: &str = "lan";

/// A LAN of nodes: 172.31.0.0/24 and fd31::/64.
#[derive(Debug)]
pub struct Lab {
    nodes: Vec<Node>,
}

impl Lab {
    /// The nodes file of the agents, a Kubernetes NodeList; each node sees it at this path.
    pub const NODES_FILE: &'static str = "/run/lab/nodes.json";

    /// A LAN with this many nodes, all of them in the nodes file.
    ///
    /// # Errors
    /// When the kernel refuses, as outside of `podlan-lab enter`.
    pub fn new(nodes: u8) -> Result<Self, Error> {
        if std::env::var_os(INSIDE).is_none() {
            return Err(Error::System {
                doing: "make a lab outside of `podlan-lab enter`".into(),
                source: std::io::ErrorKind::PermissionDenied.into(),
            });
        }
        wire::bridge(LAN).map_err(|errno| Error::Kernel { doing: "make the LAN".into(), errno })?;
        let lab = Self { nodes: (1..=nodes).map(Node::new).collect::<Result<_, _>>()? };
        lab.list(&lab.nodes.iter().collect::<Vec<_>>())?;
        Ok(lab)
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// As many nodes as the caller names: `let [one, two] = lab.these();`
    ///
    /// # Panics
    /// When the lab has another number of nodes.
    #[must_use]
    pub fn these<const N: usize>(&self) -> [&Node; N] {
        let nodes: Vec<&Node> = self.nodes.iter().collect();
        nodes.try_into().unwrap_or_else(|nodes: Vec<_>| panic!("the lab has {} nodes, not {N}", nodes.len()))
    }

    /// Writes the nodes file as a whole, with these nodes in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn list(&self, nodes: &[&Node]) -> Result<(), Error> {
        let items: Vec<Value> = nodes.iter().map(|node| node.as_kubernetes()).collect();
        self.write_nodes(&json!({ "apiVersion": "v1", "kind": "NodeList", "items": items }).to_string())
    }

    /// Replaces the nodes file by any text, atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_nodes(&self, text: &str) -> Result<(), Error> {
        let new = format!("{}.new", Self::NODES_FILE);
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, Self::NODES_FILE));
        written.map_err(Error::system("write the nodes file"))
    }
}

/// Polls a fact until it is true, at most until the [`patient`] deadline. `look` returns the state that it found instead, which
/// is shown past the deadline.
///
/// # Errors
/// [`Error::Never`] past the deadline.
pub fn eventually<T>(deadline: Duration, fact: &str, mut look: impl FnMut() -> Result<T, String>) -> Result<T, Error> {
    let (until, deadline) = (until(deadline), patient(deadline));
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(seen) if Instant::now() > until => return Err(Error::Never { fact: fact.into(), deadline, seen }),
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

//! A build of podlan, and how its programs are run.

use std::path::PathBuf;
use std::time::Duration;

use podlan_conformance::lab::{Command, Error, Lab, Node, Pod, Running, binaries, eventually, set_aside};
use serde_json::Value;

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Names the directory of the earlier build.
const OLD: &str = "PODLAN_OLD_BIN_DIR";

/// The directory of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build(PathBuf);

/// The earlier build and the one under test; `None`, reported loudly, where there is only one.
pub(crate) fn old_and_new() -> Option<[Build; 2]> {
    let Some(old) = std::env::var_os(OLD).map(PathBuf::from) else {
        set_aside(&format!(
            "{OLD} does not name the directory of an earlier build's podlan, podlan-ipam and podlan-node"
        ));
        return None;
    };
    let new = binaries::find("podlan-node").unwrap_or_else(|error| panic!("{error}"));
    for program in ["podlan", "podlan-ipam", "podlan-node"] {
        assert!(old.join(program).is_file(), "{OLD}: {} has no {program}", old.display());
    }
    Some([Build(old), Build(new.parent().map(PathBuf::from).unwrap_or_default())])
}

impl Build {
    /// One of its programs.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.0.join(program)
    }

    /// Starts its agent on a node, as `Node::agent` does.
    pub(crate) fn agent(&self, node: &Node, arguments: &[&str]) -> Result<Running, Error> {
        let run = ["run", "--node-name", node.name(), "--nodes", Lab::NODES_FILE];
        node.command(self.0.join("podlan-node")).args(run).args(arguments).spawn()
    }

    /// A command of its `podlan-node`.
    pub(crate) fn node(&self, node: &Node, arguments: &[&str]) -> Command {
        node.command(self.0.join("podlan-node")).args(arguments)
    }

    /// Waits until its agent, and no other, reports that it is ready.
    pub(crate) fn is_ready(&self, node: &Node, agent: &Running) -> Result<(), Error> {
        eventually(SOON, "the agent is ready", || {
            let output = self.node(node, &["status", "--json"]).run().map_err(|error| error.to_string())?;
            let said: Value = serde_json::from_str(&output.stdout).map_err(|_| output.report())?;
            let ready = said["ready"] == true && said["routed"] == true && said["pid"] == agent.id();
            if ready { Ok(()) } else { Err(said.to_string()) }
        })
    }

    /// A call of its plugin for a pod's `eth0`.
    pub(crate) fn plugin(&self, pod: &Pod<'_>, verb: &str, config: &Value) -> Command {
        pod.node()
            .command(self.0.join("podlan"))
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", pod.name())
            .env("CNI_NETNS", pod.netns())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.0)
            .env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={}", pod.name()))
            .stdin(config.to_string())
    }
}

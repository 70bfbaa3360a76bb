//! podlan's programs on a node whose kernel lacks features.

use std::time::Duration;

use podlan_conformance::agent::{is_ready, state};
use podlan_conformance::lab::{Added, Error, Lab, Node, Output, Pod, Running, added, binaries, eventually};
use serde_json::{Value, json};

/// The deadline for a fact on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A node, and what its kernel lacks.
pub(crate) struct Rig<'a> {
    pub(crate) node: &'a Node,
    features: &'static str,
}

impl<'a> Rig<'a> {
    pub(crate) fn new(node: &'a Node, features: &'static str) -> Self {
        Self { node, features }
    }

    /// The agent.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Result<Running, Error> {
        self.node
            .command(binaries::find("podlan-node")?)
            .args(["run", "--node-name", self.node.name(), "--nodes", Lab::NODES_FILE, "--resync", "300ms"])
            .args(arguments)
            .lacking(self.features)?
            .spawn()
    }

    /// The agent, once it is ready.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Result<Running, Error> {
        let agent = self.spawn(arguments)?;
        eventually(SOON, "the agent is ready", || {
            is_ready(self.node, agent.id()).map_err(|said| format!("{said}\n{}", agent.stderr()))
        })?;
        Ok(agent)
    }

    /// A command of podlan-node.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.node.command(binaries::find("podlan-node")?).args(arguments).lacking(self.features)?.run()
    }

    /// What the doctor prints as JSON.
    pub(crate) fn doctor(&self) -> Result<Value, Error> {
        let output = self.ask(&["doctor", "--json"])?;
        serde_json::from_str(&output.stdout).map_err(|_| output.but("it should have printed JSON"))
    }

    /// The agent's condition of a kind.
    pub(crate) fn condition(&self, kind: &str) -> Result<Value, String> {
        let said = state(self.node);
        let found = said["conditions"].as_array().into_iter().flatten().find(|condition| condition["kind"] == kind);
        found.cloned().ok_or_else(|| said.to_string())
    }

    /// What the agent warns of and no condition says.
    pub(crate) fn unrepeated_warnings(&self) -> Vec<String> {
        let said = state(self.node);
        let texts = |key: &str| -> Vec<String> {
            said[key].as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        // As node.json names them.
        let repeated = texts("repeatedWarnings");
        texts("warnings").into_iter().filter(|warning| !repeated.contains(warning)).collect()
    }

    /// The plugin, called for a pod.
    pub(crate) fn call(&self, pod: &Pod<'_>, verb: &str, config: &Value) -> Result<Output, Error> {
        pod.cni(verb, "eth0", config)?.lacking(self.features)?.run()
    }

    /// ADD.
    pub(crate) fn add(&self, pod: &Pod<'_>, config: &Value) -> Result<Added, Error> {
        let output = self.call(pod, "ADD", config)?;
        if output.success() { added(&output.stdout) } else { Err(output.but("ADD should have succeeded")) }
    }

    /// CHECK with the result of the ADD.
    pub(crate) fn check(&self, pod: &Pod<'_>, config: &Value, of_add: &Added) -> Result<Output, Error> {
        let mut config = config.clone();
        config["prevResult"] = of_add.result.clone();
        self.call(pod, "CHECK", &config)
    }

    /// GC of a network of which these pods are left.
    pub(crate) fn collect(&self, pod: &Pod<'_>, config: &Value, left: &[&Pod<'_>]) -> Result<(), Error> {
        let mut config = config.clone();
        config["cniVersion"] = json!("1.1.0");
        let valid = |pod: &&Pod<'_>| json!({ "containerID": pod.name(), "ifname": "eth0" });
        config["cni.dev/valid-attachments"] = left.iter().map(valid).collect();
        let gc = pod.cni("GC", "", &config)?.without_env("CNI_CONTAINERID").without_env("CNI_NETNS");
        gc.lacking(self.features)?.succeeds().map(drop)
    }
}

/// The checks of the doctor's JSON that found something wrong.
pub(crate) fn wrong(said: &Value) -> Vec<&Value> {
    said["checks"].as_array().into_iter().flatten().filter(|check| check["state"] == "wrong").collect()
}

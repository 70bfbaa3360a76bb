//! What is read of Kubernetes objects, and on which node which agent can be asked. Pure.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use serde::Deserialize;

use crate::order::natural;

/// The label of the agents' pods.
pub(crate) const SELECTOR: &str = "app.kubernetes.io/name=podlan";

/// The agent's container.
const CONTAINER: &str = "podlan-node";

/// The label with a node's operating system.
const SYSTEM: &str = "kubernetes.io/os";

/// A list of objects.
#[derive(Debug, Deserialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
}

/// What is read of a Node.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    metadata: Metadata,
    #[serde(default)]
    spec: NodeSpec,
}

/// What is read of a Pod.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pod {
    metadata: Metadata,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    host_network: bool,
    containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    reason: Option<String>,
    message: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    container_statuses: Vec<ContainerStatus>,
    conditions: Vec<PodCondition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    running: Option<serde_json::Value>,
    waiting: Option<Why>,
    terminated: Option<Why>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Why {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodCondition {
    r#type: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

/// A node of the cluster, and its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// The node's name.
    pub(crate) node: String,
    /// Its pod CIDRs by the API; empty where the list of nodes cannot be read.
    pub(crate) pod_cidrs: Vec<IpNetwork>,
    /// Its agent.
    pub(crate) agent: Agent,
}

/// The agent of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// It runs in this container of this pod.
    Runs {
        /// The pod's name.
        pod: String,
        /// The container's name.
        container: String,
    },
    /// It cannot be asked, and why.
    Absent(String),
    /// No agent is expected there, and why.
    NotExpected(String),
}

impl Node {
    fn pod_cidrs(&self) -> Vec<IpNetwork> {
        let all = self.spec.pod_cidrs.iter();
        let one = self.spec.pod_cidr.iter().filter(|_| self.spec.pod_cidrs.is_empty());
        all.chain(one).filter_map(|text| text.parse().ok()).collect()
    }
}

/// Each node with its agent, sorted by name: the nodes of the list, where that could be read, and those that have a pod of the
/// agent.
pub(crate) fn sites(nodes: &[Node], pods: &[Pod]) -> Vec<Site> {
    let mut agents: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.spec.node_name.is_empty()) {
        agents.entry(&pod.spec.node_name).or_default().push(pod);
    }
    let mut sites: BTreeMap<&str, Site> = BTreeMap::new();
    for node in nodes {
        let name = node.metadata.name.as_str();
        let system = node.metadata.labels.get(SYSTEM).filter(|system| *system != "linux");
        let agent = match (agents.get(name), system) {
            (Some(pods), _) => agent(pods),
            (None, Some(system)) => Agent::NotExpected(format!("the node's operating system is {system}")),
            (None, None) => Agent::Absent("no pod of the agent is on this node".to_owned()),
        };
        sites.insert(name, Site { node: name.to_owned(), pod_cidrs: node.pod_cidrs(), agent });
    }
    for (name, pods) in &agents {
        let site = || Site { node: (*name).to_owned(), pod_cidrs: Vec::new(), agent: agent(pods) };
        sites.entry(name).or_insert_with(site);
    }
    let mut sites: Vec<Site> = sites.into_values().collect();
    sites.sort_by(|one, other| natural(&one.node, &other.node));
    sites
}

/// The one to be asked: that runs, and is not being deleted; of several the newest.
fn agent(pods: &[&Pod]) -> Agent {
    let order = |pod: &&&Pod| {
        let Metadata { name, creation_timestamp, deletion_timestamp, .. } = &pod.metadata;
        (pod.runs().is_ok(), deletion_timestamp.is_none(), creation_timestamp.clone(), name.clone())
    };
    let Some(pod) = pods.iter().max_by_key(order) else {
        return Agent::Absent("no pod of the agent is on this node".to_owned());
    };
    match pod.runs() {
        Ok(container) => Agent::Runs { pod: pod.metadata.name.clone(), container },
        Err(why) => Agent::Absent(format!("its agent's pod {} {why}", pod.metadata.name)),
    }
}

impl Pod {
    /// `namespace/name`
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    /// Its name without its namespace.
    pub(crate) fn short_name(&self) -> &str {
        &self.metadata.name
    }

    /// The node that it is on; "" before it is scheduled.
    pub(crate) fn node(&self) -> &str {
        &self.spec.node_name
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> Vec<std::net::IpAddr> {
        let texts = self.status.pod_ips.iter().map(|ip| &ip.ip).chain(&self.status.pod_ip);
        let mut all: Vec<std::net::IpAddr> = Vec::new();
        for address in texts.filter_map(|text| text.parse().ok()) {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }

    /// Why packets to it and from it are not those of a pod of podlan; `None` where they are.
    pub(crate) fn unusable(&self) -> Option<String> {
        let node = self.node();
        if self.spec.host_network {
            return Some(format!(
                "it uses the network of its node {node} (hostNetwork): its packets are the node's own, at the node's \
                 addresses, and podlan makes no link for it"
            ));
        }
        if node.is_empty() {
            return Some(format!("it is on no node yet: {}", self.why_waiting()));
        }
        if matches!(self.status.phase.as_str(), "Succeeded" | "Failed") {
            return Some(format!("it has ended ({}): its address may be another pod's now", self.status.phase));
        }
        if self.addresses().is_empty() {
            return Some(format!("it has no address yet: {}", self.why_waiting()));
        }
        None
    }

    /// Whether it is being deleted.
    pub(crate) fn is_leaving(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Why it is not ready; `None` where it is.
    pub(crate) fn why_not_ready(&self) -> Option<String> {
        let is_ready = |condition: &PodCondition| condition.r#type == "Ready" && condition.status == "True";
        if self.status.conditions.iter().any(is_ready) {
            return None;
        }
        let waits = self.status.container_statuses.iter().filter_map(|status| {
            let ContainerState { waiting, terminated, .. } = &status.state;
            waiting.as_ref().or(terminated.as_ref())
        });
        Some(waits.map(Why::text).next().unwrap_or_else(|| self.why_waiting()))
    }

    /// The container to run podlan-node in, or why there is none.
    fn runs(&self) -> Result<String, String> {
        let statuses = &self.status.container_statuses;
        let names = || self.spec.containers.iter().map(|container| container.name.as_str());
        let Some(container) = names().find(|name| *name == CONTAINER).or_else(|| names().next()) else {
            return Err("has no container".to_owned());
        };
        let state = statuses.iter().find(|status| status.name == container).map(|status| &status.state);
        let waits = state.and_then(|state| state.waiting.as_ref().or(state.terminated.as_ref()));
        match (self.status.phase.as_str(), waits, state) {
            (_, Some(why), _) => Err(format!("does not run: {}", why.text())),
            ("Running", None, None) => Ok(container.to_owned()),
            (_, None, Some(state)) if state.running.is_some() => Ok(container.to_owned()),
            _ => Err(format!("does not run: {}", self.why_waiting())),
        }
    }

    /// What Kubernetes says of a pod that does not run.
    fn why_waiting(&self) -> String {
        let PodStatus { phase, reason, message, conditions, .. } = &self.status;
        let own = Why { reason: reason.clone(), message: message.clone() };
        let unmet = conditions.iter().find(|condition| condition.status == "False" && condition.message.is_some());
        let unmet = unmet.map(|unmet| Why { reason: unmet.reason.clone(), message: unmet.message.clone() }.text());
        match (own.reason.is_some() || own.message.is_some(), unmet) {
            (true, _) => own.text(),
            (false, Some(unmet)) => unmet,
            (false, None) if phase.is_empty() => "its state is unknown".to_owned(),
            (false, None) => format!("its phase is {phase}"),
        }
    }
}

impl Why {
    fn text(&self) -> String {
        match (&self.reason, self.message.as_deref().map(str::trim).filter(|message| !message.is_empty())) {
            (Some(reason), Some(message)) => format!("{reason}: {message}"),
            (Some(reason), None) => reason.clone(),
            (None, Some(message)) => message.to_owned(),
            (None, None) => "no reason is given".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;

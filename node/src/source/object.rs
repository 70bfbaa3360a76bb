//! The shape of a Kubernetes Node, as far as it is read: name, pod CIDRs, internal addresses. All else is skipped
//! while it is parsed, so that a Node of 20 KB costs what a Node of 200 bytes does.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Node;

/// A Node in a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeObject {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

/// The part of `NodeSpec` that is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

/// The part of `NodeStatus` that is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

/// The node that an object describes.
pub(super) fn node(name: &str, spec: &Spec, status: &Status) -> Node {
    let addresses = status.addresses.iter().flatten();
    let internal = addresses.filter(|address| address.kind == "InternalIP").map(|address| address.address.as_str());
    // `podCIDRs[0]` repeats `podCIDR` wherever both are given (core/v1 NodeSpec).
    let pod_cidrs = spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr).map(String::as_str);
    Node::read(name, internal, pod_cidrs)
}

/// A list that reads back as these nodes are, their faults apart.
pub(crate) fn node_list<'a>(nodes: impl Iterator<Item = &'a Node>) -> Value {
    let item = |node: &Node| {
        let cidrs: Vec<String> = node.pod_cidrs.iter().map(ToString::to_string).collect();
        let internal = |address: &std::net::IpAddr| json!({ "type": "InternalIP", "address": address });
        let addresses: Vec<Value> = node.addresses.iter().map(internal).collect();
        json!({ "metadata": { "name": &*node.name }, "spec": { "podCIDRs": cidrs }, "status": { "addresses": addresses } })
    };
    json!({ "kind": "NodeList", "items": nodes.map(item).collect::<Vec<_>>() })
}

/// A file's document: a list of Nodes, or one Node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Document {
    items: Option<Vec<NodeObject>>,
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

impl Document {
    /// Its nodes; `None` when it is neither a list nor a Node.
    pub(crate) fn nodes(self) -> Option<Vec<Node>> {
        let Self { items, metadata, spec, status } = self;
        match items {
            Some(items) => Some(items.iter().map(|item| node(&item.metadata.name, &item.spec, &item.status)).collect()),
            None if metadata.name.is_empty() => None,
            None => Some(vec![node(&metadata.name, &spec, &status)]),
        }
    }
}

//! The shape of a Kubernetes Node, as far as it is read: name, pod CIDRs, internal addresses. All else is skipped
//! while it is parsed, so that a Node of 20 KB costs what a Node of 200 bytes does.

use serde::Deserialize;

use super::Node;

/// A Node as the API server writes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeObject {
    pub(crate) metadata: Metadata,
    spec: Spec,
    status: Status,
}

/// The part of `ObjectMeta` that is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Option<Vec<NodeAddress>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

impl NodeObject {
    /// The node that it describes.
    pub(crate) fn node(&self) -> Node {
        let addresses = self.status.addresses.iter().flatten();
        let internal = addresses.filter(|address| address.kind == "InternalIP").map(|address| address.address.as_str());
        // `podCIDRs[0]` repeats `podCIDR` wherever both are given (core/v1 NodeSpec).
        let pod_cidrs = self.spec.pod_cidrs.iter().flatten().chain(&self.spec.pod_cidr).map(String::as_str);
        Node::read(&self.metadata.name, internal, pod_cidrs)
    }
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
            Some(items) => Some(items.iter().map(NodeObject::node).collect()),
            None if metadata.name.is_empty() => None,
            None => Some(vec![NodeObject { metadata, spec, status }.node()]),
        }
    }
}

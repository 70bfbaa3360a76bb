//! The checks, in their order.

mod agents;
mod chart;
mod kubectl;
mod nodes;
pub mod pods;
mod policies;

use podlan_conformance::lab::Error;

use crate::kubernetes::cluster::Cluster;

/// A check: it may leave objects for those after it.
pub type Check = fn(&mut Cluster<'_>) -> Result<(), Error>;

/// A check and its name.
pub type Named = (&'static str, Check);

/// Without these there is no cluster: they run whichever others are selected.
pub const FIRST: &[Named] = &[
    ("nodes register, and are not ready for want of a network", agents::nodes_wait),
    ("the manifest is applied, and nodes become ready because of podlan", agents::manifest),
    ("a deployment comes up on all nodes, by readiness commands, with addresses of both families", pods::deployment),
];

/// Kubernetes' own tests.
pub const OF_KUBERNETES: &[Named] = &[("Kubernetes' own tests of a network pass", crate::kubernetes::e2e::specs)];

/// All others.
pub const ALL: &[Named] = &[
    ("each pod reaches each other pod, on every node, and is seen at its own address", pods::pod_to_pod),
    ("the steps of scripts/kind-up hold here too: scripts/smoke", pods::smoke),
    ("kubectl podlan says what the agents say, with the rights that are stated and no others", kubectl::commands),
    ("a service of both families leads each pod to pods of several nodes", pods::pod_to_service),
    ("each node reaches each pod and the service, and is seen at its own address", pods::node_to_pod),
    ("a host port leads other nodes to the pod, which sees their own address", pods::host_port),
    ("a pod is ready by HTTP once it answers, and not while it does not", pods::probes),
    ("beside kube-network-policies a policy denies and allows, and the rest goes on as it was", policies::enforced),
    ("agents are replaced one after the other, and no connection of a pod fails", agents::rolling_update),
    ("a hundred pods come up, each with addresses of its own, and go", pods::a_hundred),
    ("a node that is deleted loses its routes on the others, and has them back when it rejoins", nodes::deleted),
    ("a node that is rebooted brings its pods back, and they are reached", nodes::rebooted),
    ("without kube-proxy the agents reach the API server at the address that they are given", agents::without_proxy),
    ("podlan is uninstalled, and what it leaves is named", agents::uninstall),
    ("the packed Helm chart installs podlan, and removes it by its value", chart::installs_and_removes),
];

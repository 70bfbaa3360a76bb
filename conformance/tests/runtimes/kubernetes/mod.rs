//! podlan in a real cluster: the manifest of deploy/ applied to real kubelets, each with a real containerd.
//!
//! ```text
//!   node1  172.31.0.1 fd31::1 ──┬───── lan ─────┬── node2   172.31.0.2 fd31::2
//!     etcd, kube-apiserver,     │               │     kubelet, containerd, kube-proxy
//!     controller manager,       │               │
//!     scheduler,                │               └── node3   172.31.0.3 fd31::3
//!     kubelet, containerd, kube-proxy                 kubelet, containerd, kube-proxy
//! ```
//!
//! The checks of one cluster, in their order, are [`checks::ALL`], or [`checks::OF_KUBERNETES`] in a cluster of its
//! own. `scripts/test-kubernetes` builds the programs and runs either; both are too long for each CI run.

#![expect(unreachable_pub, reason = "a test program has no outside")]

mod checks;
mod cluster;
mod dns;
mod e2e;
mod global;
mod machine;
mod objects;
mod queries;
mod sequence;
mod settings;
mod steady;
mod toolbox;

#[path = "../../source/apiserver/server.rs"]
mod server;

use podlan_conformance::lab::{set_aside, within};

// A kubelet requires more than containerd 1 offers.
use crate::containerd_2::parts::Parts;

/// Names the directory of the programs of Kubernetes and etcd.
const PROGRAMS: &str = "PODLAN_KUBE_BIN";

/// Names the OCI archive of podlan's image.
const IMAGE: &str = "PODLAN_IMAGE";

#[test]
fn a_kubernetes_cluster_works_with_podlan() {
    if let Some(parts) = really(&["agnhost", "kube-network-policies"]) {
        within(|| sequence::run(&parts, checks::ALL));
    }
}

#[test]
fn a_cluster_passes_the_network_tests_of_kubernetes() {
    if let Some(parts) = really(&["e2e.test", "agnhost", "coredns"]) {
        within(|| sequence::run(&parts, checks::OF_KUBERNETES));
    }
}

/// The parts, where these programs and everything else are installed; if not, the test is set aside.
fn really(programs: &[&str]) -> Option<Parts> {
    let folder = std::env::var_os(PROGRAMS).map(std::path::PathBuf::from);
    let here = folder.is_some_and(|folder| programs.iter().all(|program| folder.join(program).is_file()));
    if !here || std::env::var_os(IMAGE).is_none() {
        set_aside("no real cluster: scripts/test-kubernetes builds one");
        return None;
    }
    Parts::find()
}

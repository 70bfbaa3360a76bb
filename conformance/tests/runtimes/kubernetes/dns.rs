//! The cluster's DNS: CoreDNS, built from its Go module, as a user's cluster has it.

use std::path::Path;

use podlan_conformance::lab::{Error, SHARED};

use crate::containerd_2::image::{self, File};
use crate::kubernetes::cluster::Cluster;

/// The image's name in [`MANIFEST`].
const NAME: &str = "localhost/coredns:test";
const MANIFEST: &str = include_str!("dns.yaml");

/// Starts it, and waits until it is ready.
pub fn deploy(cluster: &Cluster<'_>) -> Result<(), Error> {
    let program = cluster.server.programs.join("coredns");
    let file = File { target: "coredns", source: &program };
    cluster
        .import(&Path::new(SHARED).join("coredns.tar"), &image::archive_as(NAME, &[file], &[], &["/coredns"], &[]))?;
    cluster.kubectl(&["apply", "-f", "-"]).stdin(MANIFEST).succeeds()?;
    let status = ["rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=170s"];
    cluster.kubectl(&status).succeeds().map(drop)
}

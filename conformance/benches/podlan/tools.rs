//! The programs that are compared: podlan's own, the peers where they are installed, the floor, and the measuring
//! instruments.

use std::path::{Path, PathBuf};

use podlan_conformance::lab::binaries;

use crate::Failure;

/// The path of each program. A missing one is left out of the tables, and reported once.
pub(crate) struct Tools {
    /// `podlan`.
    pub(crate) podlan: PathBuf,
    /// `podlan-ipam`.
    pub(crate) ipam: PathBuf,
    /// The floor (floor.c).
    pub(crate) floor: PathBuf,
    /// The directories of the reference plugins, each with a label for its origin.
    pub(crate) peers: Vec<(&'static str, PathBuf)>,
    /// Fills a store (ipam/examples/fill-leases.rs).
    pub(crate) fill_leases: PathBuf,
    /// The containerd tests, which print the share of the network in a sandbox.
    pub(crate) containerd_tests: Option<PathBuf>,
}

impl Tools {
    /// Finds what scripts/bench built, from the environment.
    pub(crate) fn find() -> Result<Self, Failure> {
        let given = |name: &str| -> Result<PathBuf, Failure> {
            let path = std::env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"))?;
            if path.exists() { Ok(path) } else { Err(format!("{} is not there", path.display()).into()) }
        };
        let peers = [("newest", given("PODLAN_BENCH_REFERENCE")), ("Debian's", Ok("/usr/lib/cni".into()))];
        let peers = peers.into_iter().filter_map(|(from, folder)| Some((from, folder.ok()?)));
        Ok(Self {
            podlan: binaries::find("podlan")?,
            ipam: binaries::find("podlan-ipam")?,
            floor: given("PODLAN_BENCH_FLOOR")?,
            peers: peers.filter(|(_, folder)| folder.join("ptp").exists()).collect(),
            fill_leases: given("PODLAN_BENCH_FILL")?,
            containerd_tests: given("PODLAN_BENCH_CONTAINERD").ok(),
        })
    }

    /// The folder of the newest reference plugins.
    pub(crate) fn reference(&self) -> Option<&Path> {
        self.peers.first().map(|(_, folder)| folder.as_path())
    }
}

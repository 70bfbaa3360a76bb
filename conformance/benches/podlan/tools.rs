//! The programs that are compared: podlan's own, the peers where they are installed, the floor, and the measuring
//! instruments.

use std::fs;
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
    /// A copy of it.
    pub(crate) floor_again: PathBuf,
    /// The directories of the reference plugins, each with a label for its origin.
    pub(crate) peers: Vec<(&'static str, PathBuf)>,
    /// Fills a store (ipam/examples/fill-leases.rs).
    pub(crate) fill_leases: PathBuf,
    /// Calls lists of plugins by libcni (conformance/harness/lists).
    pub(crate) lists: Option<PathBuf>,
    /// Plugins of other networks: name, version, path.
    pub(crate) built: Vec<(String, String, PathBuf)>,
    /// What could not be built, and why.
    pub(crate) left_out: Vec<(String, String)>,
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
        let others = given("PODLAN_BENCH_PEERS").ok();
        let peers = [("newest", given("PODLAN_BENCH_REFERENCE")), ("Debian's", Ok("/usr/lib/cni".into()))];
        let peers = peers.into_iter().filter_map(|(from, folder)| Some((from, folder.ok()?)));
        let floor = given("PODLAN_BENCH_FLOOR")?;
        Ok(Self {
            podlan: binaries::find("podlan")?,
            ipam: binaries::find("podlan-ipam")?,
            floor_again: floor.with_file_name("floor-again"),
            floor,
            peers: peers.filter(|(_, folder)| folder.join("ptp").exists()).collect(),
            fill_leases: given("PODLAN_BENCH_FILL")?,
            lists: given("PODLAN_BENCH_REFERENCE")
                .ok()
                .map(|folder| folder.join("lists"))
                .filter(|lists| lists.exists()),
            built: others.as_deref().map(built).transpose()?.unwrap_or_default(),
            left_out: others.map(|folder| left_out(&folder)).unwrap_or_default(),
            containerd_tests: given("PODLAN_BENCH_CONTAINERD").ok(),
        })
    }

    /// The folder of the newest reference plugins.
    pub(crate) fn reference(&self) -> Option<&Path> {
        self.peers.first().map(|(_, folder)| folder.as_path())
    }
}

/// What scripts/bench laid out as NAME/VERSION/NAME.
fn built(folder: &Path) -> Result<Vec<(String, String, PathBuf)>, Failure> {
    let mut built = Vec::new();
    for name in ["cni-kindnet", "flannel"] {
        for version in fs::read_dir(folder.join(name)).into_iter().flatten() {
            let version = version?;
            built.push((
                name.to_owned(),
                version.file_name().to_string_lossy().into_owned(),
                version.path().join(name),
            ));
        }
    }
    Ok(built)
}

/// Lines of a name, a tab and the reason.
fn left_out(folder: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder.join("left-out")).unwrap_or_default();
    text.lines().filter_map(|line| line.split_once('\t')).map(|(what, why)| (what.to_owned(), why.to_owned())).collect()
}

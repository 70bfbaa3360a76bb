//! The sizes that could grow.

use std::fmt;
use std::fs;
use std::path::Path;

use podlan_conformance::lab::{Error, Node, Running};

/// The neighbour entries of the uplink, which come and go.
/// Four of them are those of the agent's path probes.
const NEIGHBOURS: usize = 8;

/// Descriptors that the agent may have open briefly, to read the kernel or a store.
const PASSING: usize = 8;

/// The sizes of the node and its agent while there is no pod.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    links: usize,
    routes: usize,
    rules: usize,
    neighbours: usize,
    mounts: usize,
    store_bytes: u64,
    store_files: usize,
    agent_kilobytes: u64,
    agent_descriptors: usize,
    agent_threads: usize,
}

impl Figures {
    pub(super) fn take(node: &Node, agent: &Running) -> Result<Self, Error> {
        let network = node.network()?;
        let lines = |kind: &str| network.lines(&[kind]).len();
        let proc = |name: &str| format!("/proc/{}/{name}", agent.id());
        let entries = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
        let status = fs::read_to_string(proc("status")).unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        let mounts = node.place().enter(|| fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default())?;
        let (store_bytes, store_files) = size(&node.path("/run/podlan"));
        Ok(Self {
            links: lines("link"),
            routes: lines("route"),
            rules: lines("rule"),
            neighbours: node.place().neighbours()?,
            mounts: mounts.lines().count(),
            store_bytes,
            store_files,
            agent_kilobytes: resident.unwrap_or(u64::MAX),
            agent_descriptors: entries(proc("fd")),
            agent_threads: entries(proc("task")),
        })
    }

    /// # Panics
    /// When anything has grown; the agent's memory by more than `slack` kilobytes.
    pub(super) fn has_not_grown_since(&self, before: &Self, slack: u64) {
        let kernel = |of: &Self| [of.links, of.routes, of.rules, of.mounts];
        assert_eq!(kernel(self), kernel(before), "links, routes, rules, mounts");
        assert!(self.neighbours <= NEIGHBOURS, "{} neighbours", self.neighbours);
        let store = |of: &Self| (of.store_bytes, of.store_files);
        assert_eq!(store(self), store(before), "bytes and files of the stores");
        assert_eq!(self.agent_threads, before.agent_threads, "threads of the agent");
        let open = self.agent_descriptors;
        assert!(open <= before.agent_descriptors + PASSING, "the agent has {open} descriptors open, and had {before}");
        let most = before.agent_kilobytes + slack;
        assert!(self.agent_kilobytes <= most, "the agent has grown from {before} to {self}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { links, routes, rules, neighbours, mounts, store_bytes, store_files, .. } = self;
        write!(f, "{links} links, {routes} routes, {rules} rules, {neighbours} neighbours, {mounts} mounts; ")?;
        write!(f, "stores {store_bytes} bytes in {store_files} files; agent {} kB, ", self.agent_kilobytes)?;
        write!(f, "{} descriptors, {} threads", self.agent_descriptors, self.agent_threads)
    }
}

/// Bytes and files of the networks' folders below the data directory.
fn size(data_dir: &Path) -> (u64, usize) {
    let (mut bytes, mut files) = (0, 0);
    for network in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        for file in fs::read_dir(network.path()).into_iter().flatten().flatten() {
            bytes += file.metadata().map_or(0, |about| about.len());
            files += 1;
        }
    }
    (bytes, files)
}

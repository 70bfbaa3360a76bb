//! What one sweep found in all stores, and what is remembered from one sweep to the next. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::super::lease_counts::{Known, LeaseCounts};
use super::super::visible_netns::{Id, VisibleNetns};
use super::interface::Looked;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) visible: VisibleNetns,
    /// The addresses of each store when it was last read.
    addresses: BTreeMap<PathBuf, Arc<[IpAddr]>>,
}

impl Memory {
    /// Forgets stores that are there no longer.
    pub(super) fn retain(&mut self, directories: &[PathBuf]) {
        self.addresses.retain(|path, _| directories.contains(path));
    }
}

/// What one sweep has found so far.
#[derive(Debug)]
pub(super) struct Found {
    counts: LeaseCounts,
    unseen: BTreeMap<PathBuf, Option<Id>>,
}

impl Found {
    pub(super) fn begun(now: Instant) -> Self {
        Self { counts: LeaseCounts { begun: Some(now), ..LeaseCounts::default() }, unseen: BTreeMap::new() }
    }

    pub(super) fn listed(&mut self) {
        self.counts.is_listed = true;
    }

    pub(super) fn not_listed(&mut self, error: &str) {
        self.counts.warnings.push(format!("failed to look after the leases: {error}"));
    }

    /// Takes in what was found in one directory.
    pub(super) fn take(&mut self, directory: &Path, looked: Looked, memory: &mut Memory) {
        match looked {
            Looked::Nothing => drop(memory.addresses.remove(directory)),
            Looked::Network { swept, rooms, visible } => {
                memory.visible.learn(visible);
                self.unseen.extend(swept.unseen);
                let (network, addresses) = (swept.counts.network.clone(), Arc::<[IpAddr]>::from(swept.addresses));
                memory.addresses.insert(directory.to_owned(), addresses.clone());
                let counts = &mut self.counts;
                counts.rooms = counts.rooms.take().or_else(|| rooms.map(|rooms| (network.clone(), rooms)));
                counts.stores.push(Known { network, addresses: Some(addresses), is_read: true });
                counts.leases.push(swept.counts);
            }
            Looked::Failed(why) => self.not_read(directory, &why, memory),
        }
    }

    pub(super) fn does_not_answer(&mut self, directory: &Path, memory: &Memory) {
        self.not_read(directory, &format!("{} does not answer", directory.display()), memory);
    }

    /// What the store held when it was last read stands.
    fn not_read(&mut self, directory: &Path, why: &str, memory: &Memory) {
        let network = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.counts.warnings.push(format!("failed to look after the leases of {network}: {why}"));
        let addresses = memory.addresses.get(directory).cloned();
        self.counts.stores.push(Known { network, addresses, is_read: false });
    }

    /// What all stores hold, and what an operator should know.
    pub(super) fn counts(self, visible: &VisibleNetns) -> LeaseCounts {
        let Self { mut counts, mut unseen } = self;
        // Another network's pods may have shown the directory since.
        unseen.retain(|directory, id| !visible.saw(directory, *id));
        counts.warnings.extend(unseen.keys().map(|directory| {
            format!(
                "the pods' network namespaces in {} cannot be seen, so that no dead lease of theirs is taken back \
                 (in a container: mount it with HostToContainer propagation)",
                directory.display()
            )
        }));
        counts
    }
}

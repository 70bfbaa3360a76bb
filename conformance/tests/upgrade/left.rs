//! What is on a node of podlan's: tables of the packet filter (those of portmap apart, which it leaves empty), files, and
//! everything of the network.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use podlan_conformance::lab::{Error, Node, Snapshot};

/// A node at one time.
pub(crate) struct Left {
    tables: BTreeSet<String>,
    files: BTreeSet<String>,
    network: Snapshot,
}

impl Left {
    pub(crate) fn of(node: &Node) -> Result<Self, Error> {
        let is_portmaps = |table: &str| table.ends_with(" nat") || table.ends_with(" cni_hostport");
        let tables = node.shell("nft list tables")?;
        let tables = tables.lines().filter(|table| !is_portmaps(table)).map(str::to_owned).collect();
        let mut files = BTreeSet::new();
        for folder in ["/run/podlan", "/run/bin", "/run/net.d"] {
            list(&node.path(folder), folder, &mut files);
        }
        Ok(Self { tables, files, network: node.network()? })
    }

    /// What is there now and was not before, and the reverse, as a diff.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        let mut all = difference(&before.tables, &self.tables);
        all.extend(difference(&before.files, &self.files));
        all.extend(self.network.since(&before.network).lines().map(str::to_owned));
        all
    }
}

fn difference(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Vec<String> {
    let gone = before.difference(now).map(|one| format!("- {one}"));
    gone.chain(now.difference(before).map(|one| format!("+ {one}"))).collect()
}

fn list(folder: &Path, name: &str, files: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &name, files);
        }
        files.insert(name);
    }
}

//! Which directories of network namespaces this process really sees. In a container the runtime's may be missing, or its
//! mounts may not arrive; a namespace that is not seen in such a directory says nothing of the pod.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ipam::{Lease, netns_identity as id};

/// Where the runtimes of most nodes put network namespaces.
const USUAL: &str = "/run/netns";

/// Directories in which a recorded namespace was seen, each with its identity then. A directory that is replaced must be
/// proved again.
#[derive(Clone, Debug, Default)]
pub struct VisibleNetns {
    proved: BTreeMap<PathBuf, Id>,
}

/// Device and inode.
pub(super) type Id = (u64, u64);

impl VisibleNetns {
    /// Takes in what is seen of a lease's namespace; false when its directory is there and the namespace is not.
    pub(super) fn take_in(&mut self, lease: &Lease) -> bool {
        let (netns, Some(recorded)) = (&lease.proof.netns, lease.proof.netns_id) else { return true };
        let Some(directory) = netns.parent() else { return true };
        if id(netns) != Some(recorded) {
            return false;
        }
        if let Some(id) = id(directory) {
            self.proved.insert(directory.to_owned(), id);
        }
        true
    }

    /// Takes in what another look has seen.
    pub(super) fn learn(&mut self, other: Self) {
        self.proved.extend(other.proved);
    }

    /// The same as [`VisibleNetns::sees`] of a directory that was this one a moment ago; asks no file system.
    pub(super) fn saw(&self, directory: &Path, id: Option<Id>) -> bool {
        id.is_some() && self.proved.get(directory).copied() == id
    }

    /// Whether a namespace that is not seen in this directory is not there.
    pub(super) fn sees(&self, directory: &Path) -> bool {
        self.proved.get(directory).is_some_and(|proved| id(directory) == Some(*proved))
    }
}

/// What a directory is now.
pub(super) fn identity(directory: &Path) -> Option<Id> {
    id(directory)
}

/// Where namespaces come and go: beside those of the leases, and where most runtimes have them.
pub(super) fn directories<'a>(leases: impl Iterator<Item = &'a Lease>) -> BTreeSet<PathBuf> {
    let of_leases = leases.filter_map(|lease| lease.proof.netns.parent()).filter(|path| !path.starts_with("/proc"));
    of_leases.map(Path::to_owned).filter(|path| path.is_absolute()).chain([PathBuf::from(USUAL)]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::IpAddr;

    use cni::{Attachment, ContainerId, Ifname};
    use ipam::{Proof, Stamp};

    use super::*;

    fn lease(netns: &Path, netns_id: Option<Id>) -> Lease {
        Lease {
            address: IpAddr::from([10, 1, 0, 2]).into(),
            gateway: None,
            owner: Attachment {
                container_id: ContainerId::parse("c").unwrap(),
                ifname: Ifname::parse("eth0").unwrap(),
            },
            proof: Proof { netns: netns.into(), netns_id, ..Proof::default() },
            reused_early: false,
            since: Stamp::now().unwrap(),
        }
    }

    #[test]
    fn a_directory_is_seen_once_a_recorded_namespace_was_seen_in_it_and_until_it_is_replaced() {
        let home = std::env::temp_dir().join(format!("podlan-node-sight-{}", std::process::id()));
        let (directory, netns) = (home.join("netns"), home.join("netns/a"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(&netns, "").unwrap();
        let (device, inode) = id(&netns).unwrap();
        let mut visible = VisibleNetns::default();
        assert!(!visible.take_in(&lease(&netns, Some((device, inode + 1)))), "another file is no proof");
        assert!(!visible.sees(&directory));
        assert!(visible.take_in(&lease(&netns, Some((device, inode)))));
        assert!(visible.sees(&directory));
        fs::remove_file(&netns).unwrap();
        assert!(visible.sees(&directory), "the last pod's namespace may go");
        fs::rename(&directory, home.join("old")).unwrap();
        fs::create_dir(&directory).unwrap();
        assert!(!visible.sees(&directory));
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn namespaces_are_looked_for_where_leases_have_them_but_for_proc() {
        let leases = ["/run/netns/a", "/run/other/b", "/proc/7/ns/net", ""].map(|path| lease(Path::new(path), None));
        let all: Vec<PathBuf> = directories(leases.iter()).into_iter().collect();
        assert_eq!(all, ["/run/netns", "/run/other"].map(PathBuf::from));
    }
}

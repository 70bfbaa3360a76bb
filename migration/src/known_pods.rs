//! What is known of the pods of a network, and so which of host-local's leases are taken over. Two sources decide: the
//! runtime's list of living containers, and the records that libcni keeps of each ADD. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cni::Attachment;
use ipam::Proof;
use netlink::Socket;
use podlink::Netns;

use crate::living::Living;
use crate::record::Record;

/// Longer records, in bytes, are not read.
const LONGEST: u64 = 4 << 20;

/// Where libcni keeps its records, whatever runtime it is part of.
pub const RESULTS: &str = "/var/lib/cni/results";

/// What is known of a network's pods.
pub struct KnownPods {
    living: Option<Living>,
    records: BTreeMap<Attachment, Record>,
    /// Network namespaces that exist, with device and inode.
    namespaces: BTreeMap<PathBuf, (u64, u64)>,
    /// Directories that hold such a namespace. This process sees them, so a namespace missing from one is gone.
    directories: BTreeSet<PathBuf>,
}

/// What is done with a lease of host-local's.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is taken over; the proof says how its pod is known to live.
    Adopt(Proof),
    /// Its pod has ended; the text says how that is known.
    Leave(&'static str),
}

impl KnownPods {
    /// Reads the records of `network` in the directory `results`; a directory that does not exist holds none.
    ///
    /// # Errors
    /// When the directory cannot be listed, or the kernel gives no netlink socket.
    pub fn read(network: &str, results: &Path, living: Option<Living>) -> io::Result<Self> {
        let records = records(network, results)?;
        let host = Socket::open().map_err(io::Error::other)?;
        let own = Netns::of(&host).map_err(io::Error::other)?;
        let namespace =
            |record: &Record| Some((record.netns.clone(), Netns::of_pod(&record.netns, &own).ok()?.identity()));
        let namespaces: BTreeMap<_, _> = records.values().filter_map(namespace).collect();
        let directories = namespaces.keys().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        Ok(Self { living, records, namespaces, directories })
    }

    /// A pod has ended when the runtime's list does not name it, or, without a list, when its namespace is provably
    /// gone. A pod whose namespace exists is taken over in any case: the list may be older than the pod.
    #[must_use]
    pub fn decide(&self, owner: &Attachment) -> Decision {
        let record = self.records.get(owner);
        let namespace = record.and_then(|record| self.namespaces.get(&record.netns));
        let listed = self.living.as_ref().map(|living| living.names(owner.container_id.as_str()));
        match (namespace, listed) {
            (None, Some(false)) => Decision::Leave("the list of living containers does not name it"),
            (None, None) if record.is_some_and(|record| self.is_gone(&record.netns)) => {
                Decision::Leave("its network namespace is gone")
            }
            _ => Decision::Adopt(record.map_or_else(Proof::default, |record| record.proof(namespace.copied()))),
        }
    }

    fn is_gone(&self, netns: &Path) -> bool {
        let missing = fs::symlink_metadata(netns).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        missing && netns.parent().is_some_and(|directory| self.directories.contains(directory))
    }
}

fn records(network: &str, results: &Path) -> io::Result<BTreeMap<Attachment, Record>> {
    let mut records = BTreeMap::new();
    let entries = match fs::read_dir(results) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(records),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        // A record of another program, or one that is being written, is skipped.
        if let Ok(text) = text(&path) {
            records.extend(Record::read(&text, network));
        }
    }
    Ok(records)
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let size = ipam::regular::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if size as u64 > LONGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use cni::{ContainerId, Ifname};

    use super::*;

    fn owner(id: &str) -> Attachment {
        Attachment { container_id: ContainerId::parse(id).unwrap(), ifname: Ifname::parse("eth0").unwrap() }
    }

    fn known(living: Option<&str>) -> KnownPods {
        let record = |netns: &str| Record { netns: netns.into(), host_link: None, pod: None };
        let home = "/nowhere/netns";
        KnownPods {
            living: living.map(|text| Living::parse(text).unwrap()),
            records: [
                (owner("there"), record("/nowhere/netns/there")),
                (owner("gone"), record("/nowhere/netns/gone")),
                (owner("hidden"), record("/elsewhere/hidden")),
            ]
            .into(),
            namespaces: [("/nowhere/netns/there".into(), (4, 7))].into(),
            directories: [home.into()].into(),
        }
    }

    fn adopted(living: Option<&str>) -> Vec<&'static str> {
        let known = known(living);
        let all = ["there", "gone", "hidden", "unrecorded"];
        all.into_iter().filter(|id| matches!(known.decide(&owner(id)), Decision::Adopt(_))).collect()
    }

    #[test]
    fn without_a_list_only_what_is_provably_gone_is_left() {
        assert_eq!(adopted(None), ["there", "hidden", "unrecorded"]);
    }

    #[test]
    fn with_a_list_it_decides_but_for_a_pod_whose_namespace_is_there() {
        assert_eq!(adopted(Some("gone unrecorded")), ["there", "gone", "unrecorded"]);
        assert_eq!(adopted(Some("somebody-else")), ["there"]);
    }

    #[test]
    fn a_namespace_is_a_proof_only_when_it_was_seen() {
        let proof = |id: &str| match known(None).decide(&owner(id)) {
            Decision::Adopt(proof) => proof.netns_id,
            Decision::Leave(why) => panic!("{why}"),
        };
        assert_eq!(proof("there"), Some((4, 7)));
        assert_eq!(proof("hidden"), None);
    }
}

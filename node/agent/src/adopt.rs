//! Which of host-local's leases are taken over, and what proves their pods alive from then on. The runtime's own words
//! decide: its list of living containers, and the records that libcni keeps of each ADD. Nothing is changed here.

mod live;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cni::Attachment;
use ipam::Proof;
use netlink::Socket;
use podlink::Netns;

pub(crate) use live::{Error as LiveError, Live};
use record::Record;

use files::regular;

/// The most bytes of a record.
const LONGEST: u64 = 4 << 20;

/// Where libcni keeps its records, whatever runtime it is part of.
pub(crate) const RESULTS: &str = "/var/lib/cni/results";

/// All that is known of a network's pods.
pub(crate) struct Witness {
    live: Option<Live>,
    records: BTreeMap<Attachment, Record>,
    /// Namespaces that are there, with device and inode.
    spaces: BTreeMap<PathBuf, (u64, u64)>,
    /// Directories in which there are some: what is missing there is gone.
    seen: BTreeSet<PathBuf>,
}

/// What becomes of a lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Adopt(Proof),
    /// Its pod is no more, and how that is known.
    Leave(&'static str),
}

impl Witness {
    /// Reads the records of `network` below `results`; a folder that is not there has none.
    pub(crate) fn of(network: &str, results: &Path, live: Option<Live>) -> io::Result<Self> {
        let records = records(network, results)?;
        let host = Socket::open().map_err(io::Error::other)?;
        let own = Netns::of(&host).map_err(io::Error::other)?;
        let space = |record: &Record| Some((record.netns.clone(), Netns::of_pod(&record.netns, &own).ok()?.identity()));
        let spaces: BTreeMap<_, _> = records.values().filter_map(space).collect();
        let seen = spaces.keys().filter_map(|path| path.parent()).map(Path::to_owned).collect();
        Ok(Self { live, records, spaces, seen })
    }

    /// A pod is no more when the runtime does not name it, or, where no list is given, when its namespace is provably
    /// gone. One whose namespace is there is taken over in any case: the list may be older than the pod.
    pub(crate) fn verdict(&self, owner: &Attachment) -> Verdict {
        let record = self.records.get(owner);
        let space = record.and_then(|record| self.spaces.get(&record.netns));
        let listed = self.live.as_ref().map(|live| live.names(owner.container_id.as_str()));
        match (space, listed) {
            (None, Some(false)) => Verdict::Leave("the list of living containers does not name it"),
            (None, None) if record.is_some_and(|record| self.is_gone(&record.netns)) => {
                Verdict::Leave("its network namespace is gone")
            }
            _ => Verdict::Adopt(record.map_or_else(Proof::default, |record| record.proof(space.copied()))),
        }
    }

    fn is_gone(&self, netns: &Path) -> bool {
        let missing = fs::symlink_metadata(netns).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        missing && netns.parent().is_some_and(|directory| self.seen.contains(directory))
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
        // Others' records, and one that is being written, are no matter.
        if let Ok(text) = regular::read_text(&path, LONGEST) {
            records.extend(Record::read(&text, network));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use cni::{ContainerId, Ifname};

    use super::*;

    fn owner(id: &str) -> Attachment {
        Attachment { container_id: ContainerId::parse(id).unwrap(), ifname: Ifname::parse("eth0").unwrap() }
    }

    fn witness(live: Option<&str>) -> Witness {
        let record = |netns: &str| Record { netns: netns.into(), host_link: None, pod: None };
        let home = "/nowhere/netns";
        Witness {
            live: live.map(|text| Live::parse(text).unwrap()),
            records: [
                (owner("there"), record("/nowhere/netns/there")),
                (owner("gone"), record("/nowhere/netns/gone")),
                (owner("hidden"), record("/elsewhere/hidden")),
            ]
            .into(),
            spaces: [("/nowhere/netns/there".into(), (4, 7))].into(),
            seen: [home.into()].into(),
        }
    }

    fn adopted(live: Option<&str>) -> Vec<&'static str> {
        let witness = witness(live);
        let all = ["there", "gone", "hidden", "unrecorded"];
        all.into_iter().filter(|id| matches!(witness.verdict(&owner(id)), Verdict::Adopt(_))).collect()
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
        let proof = |id: &str| match witness(None).verdict(&owner(id)) {
            Verdict::Adopt(proof) => proof.netns_id,
            Verdict::Leave(why) => panic!("{why}"),
        };
        assert_eq!(proof("there"), Some((4, 7)));
        assert_eq!(proof("hidden"), None);
    }
}

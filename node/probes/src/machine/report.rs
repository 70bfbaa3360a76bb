//! What is reported of the paths.

use std::collections::BTreeMap;

use netlink::Family;
use state::paths::{PathLine, Paths};

use super::path::Path;
use super::{Endpoint, Machine, Verdict};

/// How many paths of each word are listed by name.
const LISTED: usize = 20;

/// What was sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Answers sent.
    pub answers: u64,
    /// Datagrams received that are none of this version.
    pub malformed: u64,
    /// Requests received from an address that is no listed peer's.
    pub unlisted: u64,
    /// Requests of peers that were not answered because there were too many.
    pub unanswered: u64,
}

impl Machine {
    /// The paths, as `node.json` says them.
    pub fn report(&self, port: u16) -> Paths {
        let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for path in self.paths.values() {
            let all = || Verdict::WORDS.map(|word| (word.to_owned(), 0)).into();
            let of_family = counts.entry(name(path.peer.family).to_owned()).or_insert_with(all);
            *of_family.entry(path.verdict.word().to_owned()).or_default() += 1;
        }
        let not_probed = Family::BOTH.into_iter().filter_map(|family| match &self.endpoints[family.index()] {
            Endpoint::Not(_, why) => Some((name(family).to_owned(), why.clone())),
            Endpoint::Ready(_) if let Some(rule) = self.obstruction.of(family) => {
                Some((name(family).to_owned(), rule.to_owned()))
            }
            Endpoint::Unknown | Endpoint::Ready(_) => None,
        });
        Paths {
            probed: true,
            port,
            not_probed: not_probed.collect(),
            counts,
            worst: self.worst(),
            round_millis: u64::try_from(self.schedule.round().as_millis()).unwrap_or(u64::MAX),
            median_rtt_micros: self.median_rtt(),
        }
    }

    fn worst(&self) -> Vec<PathLine> {
        let rank = |verdict: Verdict| Verdict::WORDS.iter().position(|word| *word == verdict.word());
        let listed = |path: &&Path| !matches!(path.verdict, Verdict::Open | Verdict::Unknown | Verdict::NoAgent);
        let mut worst: Vec<&Path> = self.paths.values().map(Box::as_ref).filter(listed).collect();
        let key = |path: &&Path| (rank(path.verdict), path.since, path.peer.name.clone(), path.peer.family);
        worst.sort_by_key(key);
        let mut of_word: BTreeMap<&str, usize> = BTreeMap::new();
        worst.retain(|path| {
            let count = of_word.entry(path.verdict.word()).or_default();
            *count += 1;
            *count <= LISTED
        });
        worst.into_iter().filter_map(line).collect()
    }

    fn median_rtt(&self) -> Option<u64> {
        let open = self.paths.values().map(Box::as_ref).filter(|path| path.verdict == Verdict::Open);
        let mut all: Vec<u64> = open.filter_map(rtt).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }
}

fn line(path: &Path) -> Option<PathLine> {
    Some(PathLine {
        node: path.peer.name.to_string(),
        family: name(path.peer.family).to_owned(),
        state: path.verdict.word().to_owned(),
        text: path.verdict.to_string(),
        since: path.since,
        probe: path.peer.probe.or(path.peer.node)?,
        address: path.peer.node,
        seen_as: match path.verdict {
            Verdict::Translated(seen) => seen,
            _ => None,
        },
        rtt_micros: rtt(path),
        largest: path.largest,
        mtu: path.peer.mtu,
    })
}

fn rtt(path: &Path) -> Option<u64> {
    path.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX))
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

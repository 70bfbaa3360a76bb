//! What is reported of the paths.

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
        let counts = Family::BOTH.map(|family| {
            let mut of_word = [0; Verdict::WORDS.len()];
            let paths = self.paths.values().filter(|path| path.peer.family == family);
            paths.for_each(|path| of_word[path.verdict.rank()] += 1);
            (family, of_word)
        });
        // A family without a path is not named.
        let counts = counts.into_iter().filter(|(_, of_word)| of_word.iter().any(|count| *count > 0));
        let counts = counts.map(|(family, of_word)| {
            let of_word = Verdict::WORDS.iter().zip(of_word).map(|(word, count)| ((*word).to_owned(), count));
            (name(family).to_owned(), of_word.collect())
        });
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
            counts: counts.collect(),
            worst: self.worst(),
            round_millis: u64::try_from(self.schedule.round().as_millis()).unwrap_or(u64::MAX),
            median_rtt_micros: self.median_rtt(),
        }
    }

    fn worst(&self) -> Vec<PathLine> {
        let mut of_word = Verdict::WORDS.map(|_| Vec::new());
        let listed = |path: &&Path| !matches!(path.verdict, Verdict::Open | Verdict::Unknown | Verdict::NoAgent);
        for path in self.paths.values().map(Box::as_ref).filter(listed) {
            of_word[path.verdict.rank()].push(path);
        }
        let order = |one: &&Path, other: &&Path| key(one).cmp(&key(other));
        let first = of_word.into_iter().flat_map(|mut paths| {
            if paths.len() > LISTED {
                paths.select_nth_unstable_by(LISTED, order);
                paths.truncate(LISTED);
            }
            paths.sort_unstable_by(order);
            paths
        });
        first.filter_map(line).collect()
    }

    fn median_rtt(&self) -> Option<u64> {
        let open = self.paths.values().map(Box::as_ref).filter(|path| path.verdict == Verdict::Open);
        let mut all: Vec<u64> = open.filter_map(rtt).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }
}

/// The longest lasting first.
fn key(path: &Path) -> (u64, &str, Family) {
    (path.since, &path.peer.name, path.peer.family)
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

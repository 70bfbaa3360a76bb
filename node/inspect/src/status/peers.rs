//! The peers: how many there are of each verdict and family, and those that are not as wanted, in groups of one cause. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use state::VerdictLine;

/// A verdict, and the kernel's route in its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer<'a> {
    /// The verdict.
    #[serde(flatten)]
    pub line: Cow<'a, VerdictLine>,
    /// `as wanted`, `missing`, `missing, held by …`, `via …`; `unknown: …` when the kernel could not be asked; "" where
    /// no route is wanted.
    pub found: String,
}

impl Peer<'_> {
    /// Why it is not as wanted, in a few words; `None` where it is, or where the kernel could not be asked.
    pub fn trouble(&self) -> Option<String> {
        let Self { line, found } = self;
        if !line.reason.is_empty() {
            return Some(format!("{}: {}", line.verdict, line.reason));
        }
        match found.as_str() {
            "as wanted" => None,
            found if found.starts_with("unknown") => None,
            found if found.starts_with("missing") => Some("missing".to_owned()),
            "" => Some(line.verdict.clone().into_owned()),
            _ => Some("not as wanted".to_owned()),
        }
    }

    /// The cells of its line: node, pod CIDR, found, wanted.
    pub(super) fn row(&self) -> [String; 4] {
        [self.line.node.clone(), self.line.cidr.clone(), self.found.clone(), self.line.text.clone()]
    }
}

/// The peers that are not as wanted, by their cause.
pub(super) fn troubled<'p, 'a>(peers: &'p [Peer<'a>]) -> BTreeMap<String, Vec<&'p Peer<'a>>> {
    let mut groups: BTreeMap<String, Vec<&Peer<'_>>> = BTreeMap::new();
    for peer in peers {
        if let Some(trouble) = peer.trouble() {
            groups.entry(trouble).or_default().push(peer);
        }
    }
    groups
}

/// The counts of one verdict: IPv4, IPv6, and nodes without a usable CIDR.
pub(super) type Counts = [usize; 3];

/// The number of pod CIDRs by verdict.
pub(super) fn counts<'p>(peers: &'p [Peer<'_>]) -> BTreeMap<&'p str, Counts> {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for Peer { line, .. } in peers {
        let column = match line.cidr.as_str() {
            "" => 2,
            v6 if v6.contains(':') => 1,
            _ => 0,
        };
        counts.entry(&*line.verdict).or_default()[column] += 1;
    }
    counts
}

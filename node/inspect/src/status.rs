//! The agent's last state and its verdict on each peer, compared with the kernel's routes, as text and as JSON. Pure. The
//! text is a summary, and names whatever is not as wanted; a line for each peer is printed where there are few, or on request.

mod peers;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use peers::Peer;
use routes::compare::{InKernel, Shown, in_kernel, unwanted};
use routes::here::Here;
use routes::{Key, Routes};
use state::{Clocks, State, VerdictLine};

/// What `podlan-node status` shows; serialized it is the output of `--json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status<'a> {
    /// The agent's state.
    #[serde(flatten)]
    pub state: Cow<'a, State>,
    /// Whether the state is too old to say anything.
    pub stale: bool,
    /// The verdict on each node.
    pub peers: Vec<Peer<'a>>,
    /// Routes of podlan that no verdict wants: of a withdrawal that is held, or of an agent that no longer runs.
    pub unwanted: Vec<String>,
    /// Why the agent could not be asked, while it runs: the state is its last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<String>,
    /// The release of the program that printed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release: String,
    /// Why the kernel could not be asked for its routes.
    #[serde(skip)]
    pub blind: Option<String>,
}

/// Which peers the text has a line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Those that are not as wanted, and all of a small cluster.
    Summary,
    /// Each.
    All,
}

/// The routes that the kernel has.
pub struct Found {
    /// This node as the route planner sees it.
    pub here: Here,
    /// podlan's routes.
    pub routes: Routes,
    /// Foreign routes under the keys of desired routes that are missing, as text.
    pub holders: BTreeMap<Key, String>,
}

impl Found {
    fn find(&self, line: &VerdictLine) -> String {
        let Some((key, target)) = line.route() else { return String::new() };
        match (in_kernel(&key, &target, &self.routes), self.holders.get(&key)) {
            (InKernel::AsWanted, _) => "as wanted".to_owned(),
            (InKernel::Missing, None) => "missing".to_owned(),
            (InKernel::Missing, Some(holder)) => format!("missing, held by {holder}"),
            (InKernel::Otherwise(target), _) => Shown(target, &self.here).to_string(),
        }
    }

    fn unwanted(&self, lines: &[VerdictLine]) -> Vec<String> {
        let wanted = lines.iter().filter_map(VerdictLine::route).map(|(key, _)| key).collect();
        let unwanted = unwanted(&wanted, &self.routes);
        unwanted.iter().map(|(key, target)| format!("{} {}", key.destination, Shown(*target, &self.here))).collect()
    }
}

impl<'a> Status<'a> {
    /// Compares the agent's state and verdicts with what was found in the kernel, or could not be.
    pub fn new(state: &'a State, stale: bool, lines: &'a [VerdictLine], found: &Result<Found, netlink::Error>) -> Self {
        let blind = found.as_ref().err().map(|error| format!("failed to {error}"));
        let find = |line| match found {
            Ok(found) => found.find(line),
            Err(error) => format!("unknown: failed to {error}"),
        };
        let peers = lines.iter().map(|line| Peer { line: Cow::Borrowed(line), found: find(line) }).collect();
        let unwanted = found.as_ref().map_or_else(|_| Vec::new(), |found| found.unwanted(lines));
        Self { state: Cow::Borrowed(state), stale, peers, unwanted, unanswered: None, release: String::new(), blind }
    }

    /// The same, of an agent that runs and did not answer: what is shown is from the file of its last report.
    #[must_use]
    pub fn unanswered(self, why: Option<String>) -> Self {
        Self { unanswered: why, ..self }
    }

    /// The same, printed by this release.
    #[must_use]
    pub fn by(self, release: &str) -> Self {
        Self { release: release.to_owned(), ..self }
    }

    /// The status for people at `now`.
    pub fn text(&self, detail: Detail, now: Clocks) -> String {
        text::text(self, detail, now)
    }
}

#[cfg(test)]
mod tests;

//! An agent that runs: the real state machines, and what is between them. The parts around the core keep the latest value of
//! what they were given, as their threads do.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use agent_core::{Core, Written};
use filter::{Filtered, Wanted};
use install::housekeeping::{FilesState, Position};
use ipnetwork::IpNetwork;
use kube::runtime::watcher;
use pods::leases::Asked;
use source::kubernetes::NodeWatched;
use state::{State, VerdictLine};

use crate::world::Time;

/// Where the agent reads the nodes.
pub enum Source {
    /// The Kubernetes API.
    Kubernetes {
        /// Decides.
        machine: source::kubernetes::machine::Machine,
        /// The present watch.
        watch: Option<Watch>,
    },
    /// A file.
    File {
        /// Decides.
        machine: source::file::machine::Machine,
        /// What was read last.
        last: Option<Rc<str>>,
    },
}

/// A watch of the API server, as kube's `watcher` has it.
pub struct Watch {
    /// Its number.
    pub number: u64,
    /// What of the list is not delivered yet.
    pub list: VecDeque<watcher::Event<NodeWatched>>,
    /// The version that was read last.
    pub cursor: u64,
    /// Of which store.
    pub history: u64,
    /// Whether something is on its way.
    pub is_busy: bool,
    /// The last change comes twice.
    pub repeats: Option<Rc<str>>,
}

/// A part that does what it was given last.
pub struct Part<T> {
    /// What it is to do next.
    pub next: Option<T>,
    /// Whether it works.
    pub is_busy: bool,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { next: None, is_busy: false }
    }
}

/// The agent.
pub struct Agent {
    /// Decides.
    pub core: Core,
    /// When the core is next looked after.
    pub core_timer: Time,
    /// Where the nodes come from.
    pub source: Source,
    /// When the source is next looked after.
    pub source_timer: Time,
    /// Reports that wait for the loop.
    pub reports: VecDeque<source::Report>,
    /// The packet filter.
    pub filter: Part<Wanted>,
    /// Since when it works on what it was given.
    pub filter_since: Time,
    /// How it stands.
    pub filtered: Filtered,
    /// The leases.
    pub leases: Part<Asked>,
    /// The files.
    pub files: Part<Position>,
    /// How they stand.
    pub files_state: FilesState,
    /// The run directory's files.
    pub state_files: Part<Box<State>>,
    /// The list of nodes that is to be written.
    pub node_list: Option<Vec<u8>>,
    /// How they stand.
    pub written: Written,
    /// What it says of each peer.
    pub verdicts: Arc<Vec<VerdictLine>>,
    /// What it published last.
    pub published: Option<Box<State>>,
    /// The probes, while they run.
    pub probes: Option<Box<probes::machine::Machine>>,
    /// When they are next looked after.
    pub probe_timer: Time,
    /// Whom to probe.
    pub peers: Option<probes::machine::Wanted>,
    /// The requests of the probes in the present second, and when it began.
    pub probe_second: (Time, u32),
    /// The CIDRs of the last list with their nodes, and those of earlier lists that it lacks, with since when.
    pub listed: BTreeMap<(IpNetwork, Arc<str>), Option<Time>>,
    /// The nodes of the last list.
    pub list: Option<Vec<nodes::Node>>,
    /// When the last list came.
    pub listed_at: Option<Time>,
    /// This node's CIDRs by the last list, and since when.
    pub own: (Vec<IpNetwork>, Time),
    /// When it last said that it holds a withdrawal, and since when it says so.
    pub held_at: Time,
    /// None while it holds nothing.
    pub holds_since: Option<Time>,
    /// An operator released what was held, and no turn has been since.
    pub is_released: bool,
    /// Answers to the operator.
    pub answers: Vec<&'static str>,
    /// Since when it runs.
    pub started: Time,
    /// The last time of each kind of message, which stay in order.
    pub last_at: [Time; 32],
    /// The kernel's events are on their way.
    pub events_coming: bool,
}

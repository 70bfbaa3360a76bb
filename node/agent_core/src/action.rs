//! What the agent does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filter::{Drops, Wanted};
use install::housekeeping::Position;
use install::pools::Dangers;
use pods::forwarding::keep::Forwarding;
use pods::leases::{Asked, LeaseCounts};
use probes::machine::{Counts as ProbeCounts, Wanted as ProbesWanted};
use state::{State, VerdictLine};

/// An action. The first five have an answer.
pub enum Action {
    /// Read what the previous agent wrote of the nodes, as of this time; answered by `Event::PreviousList`.
    ReadPreviousList(Instant),
    /// Call `Core::turn`; answered by `Event::Turned`.
    Turn,
    /// Ask which MTU pods inherit, given the MTU by which the nodes are reached; answered by `Event::Mtu`.
    AskMtu(Option<u32>),
    /// Ask for this node's own addresses; answered by `Event::Sources`.
    AskSources,
    /// The packet filter must be like this; acknowledged by the version of `PartReport::Filter`.
    Filter(Wanted),
    /// Look after the leases.
    Leases(Asked),
    /// Look after the installed files.
    Files(Position),
    /// Look after the MTU of pods: all that they inherited since the boot, the present one last.
    PodMtus(Vec<u32>),
    /// Probe the paths to these peers.
    Probe(ProbesWanted),
    /// Ask the source for a snapshot of now.
    Refresh,
    /// Answer the operator's command.
    Answer(&'static str),
    /// Count a source's error.
    CountSourceError,
    /// Count a turn.
    CountTurn(TurnCounts),
    /// Publish and file the verdicts.
    Verdicts(Arc<Vec<VerdictLine>>),
    /// File what the nodes have, as a list in JSON, for the next agent.
    NodeList(Vec<u8>),
    /// Publish the state.
    Publish(Box<Publication>),
}

/// What is counted of a turn.
pub struct TurnCounts {
    /// Changes that were made.
    pub changes: u64,
    /// Routes that were put back.
    pub heals: u64,
    /// How long it took.
    pub took: Duration,
}

/// Everything that is published of how the agent stands.
pub struct Publication {
    /// The state, as `node.json` says it.
    pub state: State,
    /// Whether the state file is replaced too: not while the previous agent's says that the node is ready.
    pub is_filed: bool,
    /// What endangers the uniqueness of addresses.
    pub dangers: Dangers,
    /// The leases.
    pub lease_counts: LeaseCounts,
    /// What the source rule has dropped.
    pub drops: Option<Drops>,
    /// None before the routes are decided.
    pub forwarding: Option<Forwarding>,
    /// What the probes have sent and received.
    pub probes: ProbeCounts,
    /// The agent itself.
    pub inner: Inner,
}

/// The agent's internal state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inner {
    /// Kernel objects that could not be read at the last observation.
    pub unreadable: u64,
    /// The number of the agent's parts in trouble.
    pub part_troubles: usize,
}

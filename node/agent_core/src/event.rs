//! What happens to the agent.

use std::net::IpAddr;
use std::time::Duration;

use netlink::InheritedMtu;

use super::turn::Task;
use conditions::Condition;
use filter::Filtered;
use install::housekeeping::FilesState;
use nodes::Snapshot;
use pods::forwarding::keep::Forwarding;
use pods::leases::LeaseCounts;
use probes::Probed;
use routes::Routes;
use routes::reconcile::Turn;
use source::Report;
use state::UnknownCheck;
use state::control::Command;

/// An event.
pub enum Event {
    /// The source reports.
    Report(Report),
    /// The answer to `Action::ReadPreviousList`; none where there is no list, or where it cannot be read.
    PreviousList(Option<PreviousList>),
    /// Events of the kernel.
    KernelEvents(KernelEvents),
    /// An operator's command. It is answered at once.
    Order(Command),
    /// What parts report that is new, together.
    Parts(Vec<PartReport>),
    /// The troubles of all parts, where they are other than before.
    PartTroubles(Vec<String>),
    /// The outcome of `Action::Turn`.
    Turned(Turned),
    /// The answer to `Action::AskMtu`, or why there is none.
    Mtu(Result<MtuLook, netlink::Error>),
    /// The answer to `Action::AskSources`: this node's own addresses that traffic may have as its source, in the kernel's
    /// order; none where the kernel cannot be asked.
    Sources(Vec<IpAddr>),
    /// It is as late as `Core::due` said, or later.
    Time,
}

/// How a part stands now.
pub enum PartReport {
    /// The packet filter.
    Filter(Filtered),
    /// Forwarding.
    Forwarding(Forwarding),
    /// The leases.
    Leases(LeaseCounts),
    /// The installed files; none before the first look.
    Files(Option<FilesState>),
    /// Pods whose links keep a former MTU, and why.
    FormerMtus(Vec<String>),
    /// The paths.
    Probed(Probed),
    /// The files of the run directory.
    Written(Written),
    /// What is wrong.
    Conditions(Found),
}

/// What the previous agent wrote of the nodes, and what the kernel holds of it.
pub struct PreviousList {
    /// What it wrote.
    pub list: Snapshot,
    /// The routes that the kernel holds.
    pub held: Routes,
}

/// What was read from the kernel's events.
#[derive(Default)]
pub struct KernelEvents {
    /// The events, in order.
    pub events: Vec<netlink::Event>,
    /// Events may have been lost before these.
    pub lost: bool,
    /// Why no events are received now.
    pub trouble: Option<String>,
}

/// The outcome of a turn.
pub struct Turned {
    pub(super) task: Task,
    pub(super) turn: Result<Turn, netlink::Error>,
    /// Whether a former CIDR was kept because it is not known whether it has leases.
    pub(super) asks_for_leases: bool,
    /// How long it took.
    pub took: Duration,
    /// How many objects of the kernel could not be read, where they were looked at.
    pub unreadable: u64,
}

impl Turned {
    /// Whether the kernel could be asked.
    pub fn is_ok(&self) -> bool {
        self.turn.is_ok()
    }

    /// Whether links and addresses were looked at.
    pub fn looked(&self) -> bool {
        self.turn.as_ref().is_ok_and(|turn| turn.looked)
    }
}

/// The MTU that pods inherit.
pub struct MtuLook {
    /// By a plugin that does not have the agent's state.
    pub alone: InheritedMtu,
    /// By the agent.
    pub now: InheritedMtu,
}

/// What is wrong with the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What is wrong.
    pub conditions: Vec<Condition>,
    /// Checks that could not run.
    pub unknown: Vec<UnknownCheck>,
}

/// How the files of the run directory stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// What could not be written, and why.
    pub failed: Vec<String>,
    /// `node.json` says that this node's routes have been in: an ADD refuses pods before.
    pub routed: bool,
}

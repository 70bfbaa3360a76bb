//! What goes into the machine that looks after the leases, and what comes out of it.

use std::path::PathBuf;

use super::super::lease_counts::LeaseCounts;
use super::super::sweep::{Rooms, Swept};
use super::super::visible_netns::VisibleNetns;
use super::{Asked, Pools};

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The loop wants to know something.
    Asked(Asked),
    /// A link or a network namespace was removed.
    Woken,
    /// The wake-ups cannot be received any more.
    Deaf,
    /// Whether they can be received now.
    Listening(bool),
    /// The directories of the stores, for the sweep with this number.
    Listed(u64, Result<Vec<PathBuf>, String>),
    /// The result of a job.
    Looked(Job, Looked),
    /// [`super::machine::Machine::due`] has come.
    Tick,
}

/// A look at one directory, in one sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) sweep: u64,
    pub(crate) directory: PathBuf,
}

/// What was found in one directory.
#[derive(Debug)]
pub(crate) enum Looked {
    /// No store of any network.
    Nothing,
    Network {
        swept: Swept,
        rooms: Option<Rooms>,
        visible: VisibleNetns,
    },
    Failed(String),
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Receive wake-ups.
    Listen,
    /// List the directories of the stores.
    List(u64),
    /// Sweep the store in one directory.
    LookAt(Job, VisibleNetns, Option<Pools>),
    /// How many leases were taken back is left to the shell.
    Publish(LeaseCounts),
}

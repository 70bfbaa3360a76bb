//! Where the list of nodes is read: a file, a directory of files, or the Kubernetes API. A source yields complete
//! snapshots, or an error. Nothing here depends on routes.

mod chain;
mod collector;
pub mod file;
mod json;
pub mod kubernetes;
pub mod object;
mod text;
mod value;
mod watch;
mod yaml;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use nodes::Snapshot;
use parts::Activity;

/// The maximum number of nodes; more than any cluster has.
const MOST: usize = 100_000;

/// A message of a source to the agent.
pub type Report = Result<Snapshot, Error>;

/// Why a source has no new snapshot. The last good one stays in force.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}:{line}: {problem}")]
    Malformed { path: String, line: u64, problem: String },
    #[error("{doing}: {why}")]
    Kubernetes { doing: &'static str, why: String },
}

/// Where the nodes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of nodes, or a directory of such files.
    File(PathBuf),
    /// The Kubernetes API.
    Kubernetes(kubernetes::Access),
}

impl Source {
    /// Reports until the receiver is dropped. `refresh` requests a new snapshot; a file is also read at each `resync`.
    pub async fn run(
        self,
        reports: mpsc::Sender<Report>,
        refresh: Arc<Notify>,
        resync: Duration,
        activity: Activity,
    ) -> String {
        match self {
            Self::File(path) => file::run(path, reports, refresh, resync, activity).await,
            Self::Kubernetes(access) => kubernetes::run(access, reports, refresh).await,
        }
        "the receiver of the lists is gone".to_owned()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Kubernetes(access) => access.fmt(f),
        }
    }
}

//! What can go wrong with host ports, and the CNI code of each.

use std::io;
use std::path::{Path, PathBuf};

use cni::Code;
use nix::errno::Errno;

use crate::forward::Forward;

/// An operation that failed. The texts fit after "failed to", but for those that state what is the case.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("{} {} is held by {holder}", forward.protocol, forward.at)]
    Taken { forward: Forward, holder: String },
    #[error("{} {} is held by {holder}, which is being added or removed", forward.protocol, forward.at)]
    Passing { forward: Forward, holder: String },
    #[error("{} {} is mapped to both {} and {other}", forward.protocol, forward.at, forward.to)]
    Twice { forward: Forward, other: std::net::SocketAddr },
    #[error("{op} {}: {source}", path.display())]
    File { op: &'static str, path: PathBuf, source: io::Error },
    #[error("read {}: {why}", path.display())]
    Record { path: PathBuf, why: String },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("change the packet filter table {}: {source}", crate::NAME)]
    Filter {
        #[from]
        source: nftables::Error,
    },
    #[error("{0}")]
    Netlink(#[from] netlink::Error),
}

impl Error {
    pub(crate) fn file(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { op, path: path.to_path_buf(), source }
    }

    /// The code and the message for the runtime; the error's own text goes into the details.
    fn code(&self) -> (Code, &'static str) {
        if podlink::errno_of(self).is_some_and(|errno| podlink::is_passing(Errno::from_raw(errno))) {
            return (Code::TryAgain, "kernel is busy");
        }
        match self {
            Self::Taken { .. } => (Code::PortTaken, "host port is taken"),
            Self::Passing { .. } => (Code::TryAgain, "host port is not free yet"),
            Self::Twice { .. } => (Code::InvalidConfig, "runtimeConfig.portMappings: one host port leads to two ports"),
            Self::File { .. } => (Code::Io, "failed to record the pod's host ports"),
            Self::Record { .. } => (Code::StoreDamaged, "a record of host ports cannot be read"),
            Self::Store(error) => (error.code(), "failed to lock the records of host ports"),
            Self::Filter { .. } | Self::Netlink(_) => (Code::Kernel, "failed to change the node's host ports"),
        }
    }
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        let (code, msg) = error.code();
        Self::new(code, msg).with_details(error.to_string())
    }
}

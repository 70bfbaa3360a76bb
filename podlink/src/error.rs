//! What can go wrong between two network namespaces.

use netlink::KernelError;

use crate::netns;

/// An operation that failed. The texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("{0}")]
    Netns(#[from] netns::Error),
    #[error("{0}")]
    Netlink(#[from] netlink::Error),
    #[error("{operation}: {source}")]
    Refused { operation: String, source: KernelError },
}

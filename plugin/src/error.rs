//! What can go wrong at the kernel's side of an attachment, and the CNI code that each is told with.

use std::net::IpAddr;
use std::time::Duration;

use cni::Code;
use netlink::{ForwardingError, KernelError, SysctlError};
use nix::errno::Errno;

/// An operation that failed. The texts fit after "failed to", but for those that state what is the case.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("CNI_NETNS: {0}")]
    Netns(#[from] podlink::NetnsError),
    #[error("{0}")]
    Sysctl(#[from] SysctlError),
    #[error("{0}")]
    Netlink(#[from] netlink::Error),
    #[error("{operation}: {source}")]
    Refused { operation: String, source: KernelError },
    #[error("interface {ifname} exists in the pod already")]
    InterfaceExists { ifname: String },
    #[error("the link {name} exists on the node already; `ip link show {name}` tells whose it is")]
    HostLinkExists { name: String },
    #[error("{address} is routed on this node already, by `{route}`; that route is not of this attachment")]
    AddressRouted { address: IpAddr, route: String },
    #[error("the link {name} vanished while it was being set up")]
    LinkVanished { name: String },
    #[error("the link {name} is not operational after {}s: {why}", waited.as_secs())]
    NotOperational { name: String, waited: Duration, why: &'static str },
    #[error("{0}")]
    Forwarding(#[from] ForwardingError),
}

impl From<podlink::Error> for Error {
    fn from(error: podlink::Error) -> Self {
        match error {
            podlink::Error::Netns(error) => Self::Netns(error),
            podlink::Error::Netlink(error) => Self::Netlink(error),
            podlink::Error::Refused { operation, source } => Self::Refused { operation, source },
        }
    }
}

impl From<Error> for cni::Error {
    fn from(error: Error) -> Self {
        let (code, msg) = match &error {
            Error::Netns(_) => (Code::InvalidEnvironment, "invalid CNI_NETNS"),
            Error::InterfaceExists { .. } => (Code::InterfaceExists, "interface exists already"),
            Error::Refused { source, .. } if passing(source.errno) => (Code::TryAgain, "kernel is busy"),
            Error::NotOperational { .. } => (Code::TryAgain, "the pod's link is not up yet"),
            Error::Sysctl(_)
            | Error::Netlink(_)
            | Error::Refused { .. }
            | Error::HostLinkExists { .. }
            | Error::AddressRouted { .. }
            | Error::LinkVanished { .. }
            | Error::Forwarding(_) => (Code::Kernel, "failed to set up the pod's link"),
        };
        cni::Error::new(code, msg).with_details(error.to_string())
    }
}

/// Errors that another try may not meet.
fn passing(errno: Errno) -> bool {
    matches!(errno, Errno::EBUSY | Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS)
}

//! What can go wrong at the kernel's side of an attachment, and the CNI code of each.

use std::net::IpAddr;
use std::time::Duration;

use cni::Code;
use netlink::{ForwardingError, KernelError, SysctlError};
use nix::errno::Errno;
use podlink::Fault;

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
    #[error("{operation}: {source}; the kernel makes no links of the kind veth (CONFIG_VETH; try modprobe veth)")]
    NoVeth { operation: String, source: KernelError },
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

/// What a verb does at the kernel's side, as its messages say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// ADD.
    SetUp,
    /// DEL.
    Remove,
    /// CHECK.
    Compare,
    /// GC.
    Collect,
    /// STATUS.
    Judge,
}

impl Activity {
    /// "failed to" this.
    fn failed(self) -> &'static str {
        match self {
            Self::SetUp => "failed to set up the pod's link",
            Self::Remove => "failed to remove the pod's link",
            Self::Compare => "failed to look at the pod's link",
            Self::Collect => "failed to remove the links of pods that are not listed",
            Self::Judge => "failed to look at this node's links",
        }
    }

    /// The error that the runtime is given: CNI's code, what was being done, and what went wrong.
    pub(crate) fn error(self, error: impl Into<Error>) -> cni::Error {
        let error = error.into();
        let (code, msg) = self.code(&error);
        cni::Error::new(code, msg).with_details(error.to_string())
    }

    fn code(self, error: &Error) -> (Code, &'static str) {
        match error {
            _ if error.is_passing() => (Code::TryAgain, "kernel is busy"),
            Error::Netns(netns) => match (netns.fault(), self) {
                (Fault::Gone, Self::Compare) => (Code::UnknownContainer, "container does not exist"),
                (Fault::Gone | Fault::Unusable, _) => (Code::InvalidEnvironment, "invalid CNI_NETNS"),
                (Fault::Passing | Fault::Refused, _) => (Code::Kernel, "failed to enter the pod's network namespace"),
            },
            Error::InterfaceExists { .. } => (Code::InterfaceExists, "interface exists already"),
            Error::NotOperational { .. } => (Code::TryAgain, "the pod's link is not up yet"),
            Error::Sysctl(_)
            | Error::Netlink(_)
            | Error::Refused { .. }
            | Error::NoVeth { .. }
            | Error::HostLinkExists { .. }
            | Error::AddressRouted { .. }
            | Error::LinkVanished { .. }
            | Error::Forwarding(_) => (Code::Kernel, self.failed()),
        }
    }
}

/// The error that an ADD gives the runtime. There is no conversion without a verb: each verb's errors say what it does.
pub(crate) fn set_up(error: impl Into<Error>) -> cni::Error {
    Activity::SetUp.error(error)
}

impl Error {
    /// Another try may not meet it.
    fn is_passing(&self) -> bool {
        podlink::errno_of(self).is_some_and(|errno| podlink::is_passing(Errno::from_raw(errno)))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use podlink::NetnsError;

    use super::*;

    #[test]
    fn only_an_add_says_that_it_failed_to_set_up_a_link() {
        let verbs = [Activity::SetUp, Activity::Remove, Activity::Compare, Activity::Collect, Activity::Judge];
        let texts = verbs.map(|verb| verb.code(&Error::LinkVanished { name: "podl1".into() }).1);
        assert!(texts[0].contains("failed to set up the pod's link"), "{texts:?}");
        assert!(texts[1..].iter().all(|text| text.contains("failed to") && !text.contains("set up")), "{texts:?}");
    }

    /// B10: only for a namespace that is gone is the runtime's answer that there is nothing to delete.
    #[test]
    fn what_keeps_a_namespace_from_being_opened_has_a_code_of_its_kind() {
        let open = |errno: Errno| NetnsError::Open { path: "/run/netns/x".into(), source: errno.into() };
        let enter = |source: Errno| NetnsError::Enter { path: "/run/netns/x".into(), source };
        let socket = |errno: Errno| NetnsError::Netlink(netlink::Error::Open(errno.into()));
        let unmounted = NetnsError::Unmounted { path: "/run/netns/x".into() };
        let other = NetnsError::OtherKind { path: "/run/netns/x".into() };
        let thread = NetnsError::Thread { path: "/run/netns/x".into(), source: io::Error::from(Errno::EAGAIN) };
        for (error, check, add) in [
            (open(Errno::ENOENT), 3, 4),
            (open(Errno::ENOTDIR), 3, 4),
            (open(Errno::ESRCH), 3, 4),
            (unmounted, 3, 4),
            (other, 4, 4),
            (open(Errno::ELOOP), 4, 4),
            (open(Errno::EMFILE), 11, 11),
            (open(Errno::ENFILE), 11, 11),
            (open(Errno::ENOMEM), 11, 11),
            (open(Errno::EINTR), 11, 11),
            (open(Errno::EACCES), 104, 104),
            (open(Errno::EPERM), 104, 104),
            (open(Errno::EIO), 104, 104),
            (enter(Errno::EPERM), 104, 104),
            (enter(Errno::ENOMEM), 11, 11),
            (socket(Errno::EMFILE), 11, 11),
            (socket(Errno::EPERM), 104, 104),
            (thread, 11, 11),
        ] {
            let error = Error::Netns(error);
            let codes = [Activity::Compare, Activity::SetUp].map(|activity| activity.code(&error).0.number());
            assert_eq!(codes, [check, add], "{error}");
        }
    }
}

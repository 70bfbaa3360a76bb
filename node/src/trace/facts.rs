//! Everything that a way is judged by, as values.

use std::net::IpAddr;

use ipam::Presence;
use netlink::{Known, Link, Route};
use nix::errno::Errno;

use crate::doctor::facts::Seen;
use crate::forwarding;
use crate::packet_filter::forward;
use crate::packet_filter::translation::Translation;
use crate::routes::Target;

/// One of the two pods.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) address: IpAddr,
    /// `namespace/name` where that is known, else its container id, else its address.
    pub(crate) name: String,
    pub(crate) at: At,
}

/// Where a pod is.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// On this node; `None` where no lease has its address.
    Here(Option<Pod>),
    Peer(Peer),
}

/// A pod of this node.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) ifname: String,
    /// The name of its host end, by its lease; "" where the lease has none.
    pub(crate) host_link: String,
    /// That link, or the one that the address is routed to.
    pub(crate) link: Option<Link>,
    pub(crate) presence: Presence,
}

/// Another node, which has the pod's CIDR.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) node: String,
    /// The route that podlan wants to it, and its verdict in words.
    pub(crate) wanted: Option<Target>,
    pub(crate) verdict: String,
}

/// One direction.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    /// This node's name.
    pub(crate) node: String,
    pub(crate) from: End,
    pub(crate) to: End,
    /// The link that the packet comes in by, if there is one.
    pub(crate) incoming: Option<Link>,
    /// The link that podlan wants it to leave by.
    pub(crate) outgoing: Option<Link>,
    /// The link that it leaves by.
    pub(crate) taken: Option<Link>,
    /// What the kernel would do with it; not asked where no link is known that it could come in by.
    pub(crate) answer: Option<Result<Route, Errno>>,
    /// The entry of the routing table that says so; where the kernel refuses, the main table's best one.
    pub(crate) entry: Option<Route>,
    /// What the node knows of the receiver on the link that leads to it, where that is a pod of this node.
    pub(crate) neighbour: Option<Known>,
    /// How the kernel routes what goes to the packet's source.
    pub(crate) back: Option<Route>,
    /// What keeps packets of the family that come in by that link from being forwarded.
    pub(crate) forwarding: Seen<Option<forwarding::Off>>,
    /// Whether the rule stands that a pod sends with its own address.
    pub(crate) source_rule: Seen<bool>,
    pub(crate) dropped: Seen<Vec<forward::Finding>>,
    pub(crate) translated: Seen<Vec<Translation>>,
}

impl Leg {
    /// Whether the kernel's look at the packet's source keeps it from being routed: newer kernels say `EXDEV` then, others
    /// `EINVAL`, as they say of a black hole at the destination too.
    pub(crate) fn is_refused_at_source(&self) -> bool {
        match self.answer {
            Some(Err(Errno::EXDEV)) => true,
            Some(Err(Errno::EINVAL)) => {
                let (back, incoming) = (self.back.as_ref(), self.incoming.as_ref());
                back.and_then(|route| route.device) != incoming.map(|link| link.index)
            }
            _ => false,
        }
    }
}

impl End {
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.at, At::Here(_))
    }

    pub(crate) fn pod(&self) -> Option<&Pod> {
        match &self.at {
            At::Here(pod) => pod.as_ref(),
            At::Peer(_) => None,
        }
    }
}

//! Everything that a way is judged by, as values.

pub mod observe;

use std::net::IpAddr;

use ipam::Presence;
use netlink::{Known, Link, Route};
use nix::errno::Errno;

use crate::Seen;
use filter::forward;
use filter::translation::Translation;
use pods::forwarding;
use routes::Target;

/// One of the two pods.
#[derive(Clone, Debug)]
pub struct End {
    /// The pod's address.
    pub address: IpAddr,
    /// `namespace/name` where that is known, else its container id, else its address.
    pub name: String,
    /// Where the pod is.
    pub at: At,
}

/// Where a pod is.
#[derive(Clone, Debug)]
pub enum At {
    /// On this node; `None` where no lease has its address.
    Here(Option<Pod>),
    /// On another node.
    Peer(Peer),
}

/// A pod of this node.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The name of its interface inside the pod.
    pub ifname: String,
    /// The name of its host end, by its lease; "" where the lease has none.
    pub host_link: String,
    /// That link, or the one that the address is routed to.
    pub link: Option<Link>,
    /// Whether the pod is there.
    pub presence: Presence,
}

/// Another node, which has the pod's CIDR.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub node: String,
    /// The route that podlan wants to it.
    pub wanted: Option<Target>,
    /// The verdict on its pod CIDR, in words.
    pub verdict: String,
}

/// One direction.
#[derive(Clone, Debug)]
pub struct Leg {
    /// This node's name.
    pub node: String,
    /// The pod that sends.
    pub from: End,
    /// The pod that receives.
    pub to: End,
    /// The link that the packet comes in by, if there is one.
    pub incoming: Option<Link>,
    /// The link that podlan wants it to leave by.
    pub outgoing: Option<Link>,
    /// The link that it leaves by.
    pub taken: Option<Link>,
    /// What the kernel would do with it; not asked where no link is known that it could come in by.
    pub answer: Option<Result<Route, Errno>>,
    /// The entry of the routing table that says so; where the kernel refuses, the main table's best one.
    pub entry: Option<Route>,
    /// What the node knows of the receiver on the link that leads to it, where that is a pod of this node.
    pub neighbour: Option<Known>,
    /// How the kernel routes what goes to the packet's source.
    pub back: Option<Route>,
    /// What keeps packets of the family that come in by that link from being forwarded.
    pub forwarding: Seen<Option<forwarding::Off>>,
    /// Whether the rule stands that a pod sends with its own address.
    pub source_rule: Seen<bool>,
    /// What rules of others drop.
    pub dropped: Seen<Vec<forward::ForwardDrop>>,
    /// What gives the packet another source address.
    pub translated: Seen<Vec<Translation>>,
}

impl Leg {
    /// Whether the kernel's look at the packet's source keeps it from being routed: newer kernels say `EXDEV` then, others
    /// `EINVAL`, as they say of a black hole at the destination too.
    pub fn is_refused_at_source(&self) -> bool {
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
    /// Whether the pod is on this node.
    pub fn is_here(&self) -> bool {
        matches!(self.at, At::Here(_))
    }

    /// The pod, where it is on this node and has a lease.
    pub fn pod(&self) -> Option<&Pod> {
        match &self.at {
            At::Here(pod) => pod.as_ref(),
            At::Peer(_) => None,
        }
    }
}

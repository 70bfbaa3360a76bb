//! Everything that one direction between two pods is judged by, as values.

pub mod observe;

use std::net::IpAddr;

use ipam::Presence;
use netlink::{Known, Link, PolicyRule, Route};
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
    /// The name of its host link in its lease; "" where the lease has none.
    pub host_link: String,
    /// That link, or the one that the address is routed to.
    pub link: Option<Link>,
    /// Whether the pod is there.
    pub presence: Presence,
    /// The source of the node's own packets to it, where its network's configuration names one.
    pub host_source: Option<IpAddr>,
}

/// Another node, which has the pod's CIDR.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub node: String,
    /// The desired route to it.
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
    /// The link on which the packet arrives, if there is one.
    pub incoming: Option<Link>,
    /// The link by which it should leave.
    pub outgoing: Option<Link>,
    /// The link by which it leaves.
    pub taken: Option<Link>,
    /// The kernel's decision on it; not queried where the link of its arrival is unknown.
    pub answer: Option<Result<Route, Errno>>,
    /// The entry of the routing table that decides; where the kernel refuses, the best entry of the main table.
    pub entry: Option<Route>,
    /// The policy rule by which another table than the main one decides, and the route of that table, where it is known.
    pub rule: Option<(PolicyRule, Option<Route>)>,
    /// The neighbour entry of the receiver on its link, where it is a pod of this node; of the next hop, where it is not.
    pub neighbour: Option<Known>,
    /// The kernel's route back to the packet's source.
    pub back: Option<Route>,
    /// What prevents the forwarding of the family's packets that arrive on that link.
    pub forwarding: Seen<Option<forwarding::Off>>,
    /// Whether the source rule is in place.
    pub source_rule: Seen<bool>,
    /// What rules of other programs drop.
    pub dropped: Seen<Vec<forward::ForwardDrop>>,
    /// What gives the packet another address.
    pub translated: Seen<Vec<Translation>>,
    /// What the packet carries.
    pub transport: forward::Transport,
    /// What else may act on packets here and is not looked at.
    pub blind: Vec<&'static str>,
}

impl Leg {
    /// Whether the kernel refuses the packet because of its source: newer kernels answer `EXDEV`, older ones `EINVAL`,
    /// which they also answer for a blackhole route to the destination.
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

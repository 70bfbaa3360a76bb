//! The verdict on each peer's pod CIDR: how its pods are reached, or why they are not.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use netlink::Family;

use super::reach::Obstacle;
use nodes::Malformed;
use nodes::last_good::Kept;

/// What is said of one node's CIDR, or of a node that has none that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// The node's name.
    pub node: Arc<str>,
    /// The pod CIDR; none where the verdict is on the node as a whole.
    pub cidr: Option<IpNetwork>,
    /// The judgement.
    pub ruling: Ruling,
}

/// The verdict itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ruling {
    /// This node's own: an unreachable route takes what no pod has.
    Own,
    /// This node's former CIDR: it stays while leases of it live.
    Draining,
    /// Its node is a neighbour in a subnet of this node.
    Direct {
        /// The peer's address.
        via: IpAddr,
        /// The link's name.
        link: Arc<str>,
    },
    /// Its node is on a link, by a route of the kernel and not by a subnet; or the route's gateway is the node itself.
    OnLink {
        /// The peer's address.
        via: IpAddr,
        /// The link's name.
        link: Arc<str>,
    },
    /// Its node is behind a router, and the operator said that routers know the pods.
    Router {
        /// The router's address.
        router: IpAddr,
        /// The link's name.
        link: Arc<str>,
    },
    /// The list lacks what the node had; what it had stands.
    Kept(Kept),
    /// There is no route.
    Skipped(Skip),
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words and messages below say it")]
pub enum Skip {
    NoPodCidr,
    Malformed(Malformed),
    DuplicateName,
    NoAddress(Family),
    OwnAddress(IpAddr),
    OtherSegment { address: IpAddr, router: IpAddr },
    NotReached { address: IpAddr, obstacle: Obstacle },
    LinkDown { address: IpAddr, link: Arc<str> },
    AddressInPodCidr { address: IpAddr, owner: Arc<str> },
    DuplicateCidr { owner: Arc<str> },
    OverlapsOwnCidr(IpNetwork),
    OverlapsLocal(IpNetwork),
    CoversNode { node: Arc<str>, address: IpAddr },
}

impl Ruling {
    /// One word, as metrics and status count it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Draining => "draining",
            Self::Direct { .. } => "direct",
            Self::OnLink { .. } => "onlink",
            Self::Router { .. } => "router",
            Self::Kept(_) => "kept",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Whether a route to its pods is wanted and cannot be: the link to it is down.
    pub fn is_cut_off(&self) -> bool {
        matches!(self, Self::Skipped(Skip::LinkDown { .. }))
    }

    /// Why, in one word; "" where the verdict says it all.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Skipped(skip) => skip.word(),
            Self::Kept(_) => "not-listed",
            _ => "",
        }
    }
}

impl Skip {
    fn word(&self) -> &'static str {
        match self {
            Self::NoPodCidr => "no-pod-cidr",
            Self::Malformed(_) => "malformed",
            Self::DuplicateName => "duplicate-name",
            Self::NoAddress(_) => "no-address",
            Self::OwnAddress(_) => "own-address",
            Self::OtherSegment { .. } => "other-segment",
            Self::NotReached { obstacle, .. } => obstacle.word(),
            Self::LinkDown { .. } => "link-down",
            Self::AddressInPodCidr { .. } => "address-in-pod-cidr",
            Self::DuplicateCidr { .. } => "duplicate-cidr",
            Self::OverlapsOwnCidr(_) => "overlaps-own-cidr",
            Self::OverlapsLocal(_) => "overlaps-local",
            Self::CoversNode { .. } => "covers-node",
        }
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => write!(f, "this node's own"),
            Self::Draining => write!(f, "this node's former CIDR, kept while leases of it live"),
            Self::Direct { via, link } => write!(f, "direct via {via} on {link}"),
            Self::OnLink { via, link } => write!(f, "via {via}, on {link} by a route of its own"),
            Self::Router { router, link } => write!(f, "via router {router} on {link}"),
            Self::Kept(kept) => write!(f, "{kept}"),
            Self::Skipped(skip) => write!(f, "skipped: {skip}"),
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPodCidr => write!(f, "it has no pod CIDR (yet)"),
            Self::Malformed(malformed) => write!(f, "{malformed}"),
            Self::DuplicateName => write!(f, "another node has its name"),
            Self::NoAddress(family) => write!(f, "it has no {family} InternalIP"),
            Self::OwnAddress(address) => write!(f, "{address} is this node's own address"),
            Self::OtherSegment { address, router } => {
                write!(f, "{address} is in another segment, behind router {router}")
            }
            Self::NotReached { address, obstacle } => write!(f, "{address} {obstacle}"),
            Self::LinkDown { address, link } => write!(f, "{address} is on {link}, which is down"),
            Self::AddressInPodCidr { address, owner } => {
                write!(f, "its address {address} lies in the pod CIDR of {owner}")
            }
            Self::DuplicateCidr { owner } => write!(f, "{owner} has the same CIDR"),
            Self::OverlapsOwnCidr(own) => write!(f, "it overlaps this node's pod CIDR {own}"),
            Self::OverlapsLocal(local) => write!(f, "it covers this node's {local}"),
            Self::CoversNode { node, address } => write!(f, "it covers the address {address} of {node}"),
        }
    }
}

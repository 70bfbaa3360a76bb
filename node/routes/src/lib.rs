//! Routes to the other nodes' pod subnets: what they should be (pure), what they are, and how the one becomes the other.

pub mod apply;
pub mod claims;
pub mod compare;
pub mod desired;
pub mod guard;
pub mod here;
pub mod kernel;
pub mod kernel_event;
pub mod pace;
pub mod plan;
pub mod protocol;
pub(crate) mod reach;
pub mod reconcile;
pub mod verdict;
pub mod ways;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// The metric of every route to a peer: fixed, so that a route of ours never takes the place of another's.
pub const PEER_METRIC: u32 = 110;

/// The metric of the own pod CIDR's unreachable route: the worst there is. At 0 it would win over a bridge's connected
/// route to the same subnet.
pub const OWN_METRIC: u32 = u32::MAX;

/// What the kernel tells two routes of one table apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The subnet that the route leads to, host bits zero.
    pub destination: IpNetwork,
    /// Lower is preferred.
    pub metric: u32,
}

/// Where a route of ours sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// To a next hop on a link, of the other address family too.
    Hop {
        /// The next hop.
        via: IpAddr,
        /// The index of the link.
        link: u32,
        /// Whether no subnet of the link covers the next hop.
        onlink: bool,
    },
    /// Nowhere: the answer is "destination unreachable".
    Unreachable,
    /// A shape that podlan does not make, under its number all the same.
    Foreign,
}

impl Target {
    /// The link by which a packet leaves.
    pub fn link(&self) -> Option<u32> {
        match self {
            Self::Hop { link, .. } => Some(*link),
            Self::Unreachable | Self::Foreign => None,
        }
    }
}

/// The routes of one owner: what is desired, or what was observed.
pub type Routes = BTreeMap<Key, Target>;

impl Key {
    /// The key of the route to a peer's pod CIDR.
    pub fn peer(destination: IpNetwork) -> Self {
        Self { destination, metric: PEER_METRIC }
    }

    /// The key of the own pod CIDR's route.
    pub fn own(destination: IpNetwork) -> Self {
        Self { destination, metric: OWN_METRIC }
    }

    /// Whether it is the key of the own pod CIDR's route.
    pub fn is_own(&self) -> bool {
        self.metric == OWN_METRIC
    }
}

/// Whether two subnets share an address.
pub fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a.contains(b.network()) || b.contains(a.network()))
}

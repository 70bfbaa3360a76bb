//! How the kernel reaches an address of a peer: its answer, judged. Pure. What a route of podlan's cannot follow is an
//! obstacle with a name, never taken for "on the link".

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::{Family, FibEntry, KernelError, NODE_ROUTE, Onward, RouteKind, Scope};
use nix::errno::Errno;

use super::here::Here;
use super::kernel::MAIN;

/// The loopback link's index in every network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// `RTN_LOCAL` and its neighbours among the kinds of routes.
const LOCAL: RouteKind = RouteKind::Other(2);
const NO_HOST: [RouteKind; 3] = [RouteKind::Other(3), RouteKind::Other(4), RouteKind::Other(5)];

/// How the kernel would send a packet to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Straight onto a link, by the route of a subnet in which this node has an address.
    Neighbour { link: u32 },
    /// Straight onto a link, by another route that names no gateway.
    OnLink { link: u32 },
    /// To a gateway; `onlink` where the kernel takes the gateway only by that flag.
    Router { router: IpAddr, link: u32, onlink: bool },
    /// Not at all, or in a way that a route of podlan's cannot follow.
    No(Obstacle),
}

/// Why no route can follow the kernel's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// There is no route.
    Nowhere,
    /// An `unreachable` route.
    Unreachable,
    /// A `prohibit` route.
    Prohibited,
    /// A `blackhole` route.
    Blackhole,
    /// It is an address of this node.
    ThisNode,
    /// The answer is a route of podlan's own: the address lies in a pod CIDR to which this node has one.
    OwnRoute,
    /// A pod of this node has it.
    Pod,
    /// A broadcast, anycast or multicast address.
    NoHost,
    /// The route ends at the loopback link.
    Loopback,
    /// The route has several next hops.
    Several,
    /// The route puts packets into a tunnel, or labels them.
    Encapsulated,
    /// The next hop cannot be read.
    Unread,
    /// The kernel does not say; its errno.
    Unsaid(i32),
}

/// What is known of an address, and on which entry of the kernel's tables it hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) reach: Reach,
    table: u32,
    prefix: u8,
    by_object: bool,
    /// An event may have changed it: it must be asked again.
    pub(crate) doubtful: bool,
}

impl Way {
    /// Judges the kernel's answer for `address`.
    pub(crate) fn of(address: IpAddr, answer: &Result<FibEntry, KernelError>, here: &Here) -> Self {
        match answer {
            Ok(entry) => Self {
                reach: reach(address, entry, here),
                table: entry.table,
                prefix: entry.prefix,
                by_object: entry.by_object,
                doubtful: false,
            },
            Err(refused) => {
                let reach = Reach::No(Obstacle::of(refused.errno));
                Self { reach, table: 0, prefix: 0, by_object: false, doubtful: false }
            }
        }
    }

    /// Whether a route to `destination` in `table` that comes or goes may change it. The longer prefix of a table wins.
    pub(crate) fn hangs_on(&self, destination: IpNetwork, table: u32) -> bool {
        table != MAIN || self.table != MAIN || destination.prefix() >= self.prefix
    }

    /// Whether a nexthop object that changes may change it.
    pub(crate) fn hangs_on_objects(&self) -> bool {
        self.by_object
    }

    /// Whether a route of podlan's own may keep the answer from being seen that the kernel would give without it.
    pub(crate) fn is_hidden(&self) -> bool {
        matches!(self.reach, Reach::No(Obstacle::OwnRoute | Obstacle::Unreachable))
    }
}

fn reach(address: IpAddr, entry: &FibEntry, here: &Here) -> Reach {
    if entry.kind == LOCAL {
        return Reach::No(Obstacle::ThisNode);
    }
    if NO_HOST.contains(&entry.kind) {
        return Reach::No(Obstacle::NoHost);
    }
    if entry.protocol == NODE_ROUTE {
        return Reach::No(Obstacle::OwnRoute);
    }
    match (entry.kind, entry.onward) {
        (RouteKind::Unicast, Onward::Several) => Reach::No(Obstacle::Several),
        (RouteKind::Unicast, Onward::Encapsulated) => Reach::No(Obstacle::Encapsulated),
        (RouteKind::Unicast, Onward::Hop { device: LOOPBACK, .. }) => Reach::No(Obstacle::Loopback),
        (RouteKind::Unicast, Onward::Hop { device, .. }) if !here.links.contains_key(&device) => {
            Reach::No(Obstacle::Pod)
        }
        (RouteKind::Unicast, Onward::Hop { gateway: None, device: link, .. }) => {
            let by_subnet = entry.table == MAIN && is_on_link(entry) && here.is_in(address, entry.prefix, link);
            if by_subnet { Reach::Neighbour { link } } else { Reach::OnLink { link } }
        }
        (RouteKind::Unicast, Onward::Hop { gateway: Some(router), device: link, onlink }) => {
            Reach::Router { router, link, onlink }
        }
        (RouteKind::Unreachable, _) => Reach::No(Obstacle::Unreachable),
        _ => Reach::No(Obstacle::Unread),
    }
}

/// Whether the kernel takes what the entry leads to for a neighbour when it checks a gateway. IPv6 knows no scopes.
fn is_on_link(entry: &FibEntry) -> bool {
    entry.family == Family::V6 || entry.scope == Scope::Link
}

/// Whether the kernel takes a gateway by `link` without the flag `onlink`, by its answer for the gateway itself.
pub(crate) fn takes_gateway(answer: &Result<FibEntry, KernelError>, link: u32) -> bool {
    let Ok(entry) = answer else { return false };
    let straight = matches!(entry.onward, Onward::Hop { gateway: None, device, .. } if device == link);
    entry.kind == RouteKind::Unicast && entry.protocol != NODE_ROUTE && straight && is_on_link(entry)
}

/// Whether an address is of the link-local subnet of IPv6: it says nothing without its link, and the kernel takes it as a
/// gateway as it is.
pub(crate) fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

impl Obstacle {
    fn of(errno: Errno) -> Self {
        match errno {
            // A `throw` route, and a kernel without that address family, have none either.
            Errno::ENETUNREACH | Errno::EAGAIN | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT => Self::Nowhere,
            Errno::EHOSTUNREACH => Self::Unreachable,
            Errno::EACCES => Self::Prohibited,
            Errno::EINVAL => Self::Blackhole,
            other => Self::Unsaid(other as i32),
        }
    }

    /// One word, as `reason` gives it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Nowhere => "other-segment",
            Self::Unreachable | Self::Prohibited | Self::Blackhole | Self::Loopback => "no-way",
            Self::ThisNode => "own-address",
            Self::OwnRoute | Self::Pod => "overlaps",
            Self::NoHost => "no-host-address",
            Self::Several => "several-next-hops",
            Self::Encapsulated => "encapsulated",
            Self::Unread | Self::Unsaid(_) => "next-hop-unknown",
        }
    }
}

/// What is said of an address: "ADDRESS …".
impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => write!(f, "is in no segment that is reached"),
            Self::Unreachable => write!(f, "meets an unreachable route of this node"),
            Self::Prohibited => write!(f, "meets a prohibit route of this node"),
            Self::Blackhole => write!(f, "meets a blackhole route of this node"),
            Self::ThisNode => write!(f, "is this node's own address"),
            Self::OwnRoute => write!(f, "overlaps a pod CIDR: the kernel reaches it by a route of podlan's own"),
            Self::Pod => write!(f, "overlaps the pods: a pod of this node has it"),
            Self::NoHost => write!(f, "is a broadcast, anycast or multicast address"),
            Self::Loopback => write!(f, "is routed to this node's loopback link"),
            Self::Several => {
                write!(f, "is reached by a route with several next hops (multipath), which podlan does not follow")
            }
            Self::Encapsulated => {
                write!(f, "is reached by a route with encapsulation (a tunnel or label), which podlan does not follow")
            }
            Self::Unread => write!(f, "is reached by a route whose next hop podlan cannot read"),
            Self::Unsaid(errno) => write!(f, "has an unknown next hop: the kernel answers {}", Errno::from_raw(*errno)),
        }
    }
}

#[cfg(test)]
mod tests;

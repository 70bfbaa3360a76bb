//! One step of a plan: a change of one kernel object, with its name for people.

use std::fmt;

use netlink::{Address, Hardening, Link, LocalRoute, Neighbour, NeverGivenUp, Request, Route, SourceRule};

/// A change in one namespace. Each is asked for exclusively: what exists already is not ours to take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Hardens the host end, and writes the text for people on it.
    Harden {
        /// The link's index.
        device: u32,
        /// How.
        hardening: Hardening,
        /// The text, at most 255 bytes.
        alias: String,
    },
    /// Sets a link up.
    Up {
        /// The link's index.
        device: u32,
    },
    /// Sets the pod end up; from now on it announces a change of its MAC.
    UpAnnouncing {
        /// The link's index.
        device: u32,
    },
    /// Puts an address on a link.
    Address(Address),
    /// Has packets to an IPv6 address accepted from now on, before the kernel has done its part.
    Accept(LocalRoute),
    /// Keeps the kernel from giving up the neighbours of a link.
    Keep(NeverGivenUp),
    /// Makes a route.
    Route(Route),
    /// Makes a neighbour known from the start.
    Neighbour(Neighbour),
    /// Sends replies of one source address to a table.
    Rule(SourceRule),
}

impl Operation {
    /// The request that does it.
    pub(crate) fn request(&self) -> Request {
        match self {
            Self::Harden { device, hardening, alias } => Link::harden(*device, *hardening, alias),
            Self::Up { device } => Link::up(*device),
            Self::UpAnnouncing { device } => Link::up_announcing(*device),
            Self::Address(address) => address.add(),
            Self::Accept(route) => route.add(),
            Self::Keep(neighbours) => neighbours.set(),
            Self::Route(route) => route.add(),
            Self::Neighbour(neighbour) => neighbour.replace(),
            Self::Rule(rule) => rule.add(),
        }
    }
}

/// Fits after "failed to".
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harden { device, .. } => write!(f, "harden link {device} and set its alias"),
            Self::Up { device } | Self::UpAnnouncing { device } => write!(f, "set link {device} up"),
            Self::Address(address) => write!(f, "add address {} to link {}", address.address, address.device),
            Self::Accept(route) => write!(f, "accept packets to {} on link {}", route.address, route.device),
            Self::Keep(neighbours) => {
                let NeverGivenUp { device, family } = neighbours;
                write!(f, "set the probes of {family} neighbours on link {device}")
            }
            Self::Route(route) => write!(f, "add route {route}"),
            Self::Neighbour(neighbour) => {
                write!(f, "add neighbour {} to link {}", neighbour.address, neighbour.device)
            }
            Self::Rule(rule) => write!(f, "add rule from {} lookup {}", rule.from, rule.table),
        }
    }
}

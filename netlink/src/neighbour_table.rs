//! How the kernel looks after the neighbours of one link (`RTM_SETNEIGHTBL`).

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour_table::{NeighbourTableAttribute, NeighbourTableMessage, NeighbourTableParameter};

use crate::Family;
use crate::request::Request;

/// Probes to the address that is known, before those to everybody; the kernel's default.
const UNICAST: u32 = 3;

/// Probes for an address that is not known; the kernel's default.
const MULTICAST: u32 = 3;

/// Probes to everybody for a neighbour that was known and does not answer: one a second for thirty years. The kernel adds
/// the three numbers as an `int`.
const AGAIN: u32 = 1_000_000_000;

/// Between two probes, and before the first one: the kernel's defaults, milliseconds.
const BETWEEN: u64 = 1_000;
const BEFORE: u64 = 5_000;

/// A link on which the kernel never gives up a neighbour: it goes on probing one that does not answer (`arp_ignore`), and
/// goes on sending to its known link-layer address. A neighbour that answers from another one is updated as usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeverGivenUp {
    /// The link's index.
    pub device: u32,
    /// IPv4 (ARP) or IPv6 (ND).
    pub family: Family,
}

impl NeverGivenUp {
    /// Sets everything about the link's probes: it inherited the node's settings, and the numbers count together.
    pub fn set(&self) -> Request {
        let mut message = NeighbourTableMessage::default();
        message.header.family = self.family.in_header();
        let name = match self.family {
            Family::V4 => "arp_cache",
            Family::V6 => "ndisc_cache",
        };
        message.attributes = vec![
            NeighbourTableAttribute::Name(name.to_owned()),
            NeighbourTableAttribute::Parms(vec![
                NeighbourTableParameter::Ifindex(self.device),
                NeighbourTableParameter::DelayProbeTime(BEFORE),
                NeighbourTableParameter::RetransTime(BETWEEN),
                NeighbourTableParameter::AppProbes(0),
                NeighbourTableParameter::UcastProbes(UNICAST),
                NeighbourTableParameter::McastProbes(MULTICAST),
                NeighbourTableParameter::McastReprobes(AGAIN),
            ]),
        ];
        Request::change(RouteNetlinkMessage::SetNeighbourTable(message))
    }
}

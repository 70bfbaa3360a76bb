//! Neighbour entries that are known from the start: no ARP or ND round trip, and never in the garbage-collected table.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteType;

use crate::Family;
use crate::request::Request;
use crate::socket::{Error, Socket};

/// What may change an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// No program and no packet but a request like this one: state permanent.
    Fixed,
    /// The neighbour itself, when it announces another link-layer address: usable at once (stale), no garbage
    /// (`NTF_EXT_LEARNED`), and asked for again like any other once it does not answer.
    Learned,
}

/// One neighbour entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Its IP address.
    pub address: IpAddr,
    /// Its link-layer address.
    pub mac: [u8; 6],
    /// The link's index.
    pub device: u32,
    /// What may change it.
    pub hold: Hold,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It has no entry: it is asked for with the next packet.
    Absent,
    /// It was asked and has not answered: packets wait (`INCOMPLETE`), or are lost (`FAILED`).
    Silent,
    /// Its link-layer address, usable at once.
    At([u8; 6]),
}

impl Known {
    /// Asks what is known of `address` on a link.
    pub fn ask(socket: &mut Socket, address: IpAddr, device: u32) -> Result<Self, Error> {
        let question = Request::get(RouteNetlinkMessage::GetNeighbour(question(address, device)));
        let Ok(RouteNetlinkMessage::NewNeighbour(message)) = socket.get(question)? else { return Ok(Self::Absent) };
        Ok(Self::of(&message))
    }

    fn of(message: &NeighbourMessage) -> Self {
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
            _ => None,
        });
        match (message.header.state, mac) {
            (NeighbourState::Failed | NeighbourState::Incomplete, _) => Self::Silent,
            (_, Some(mac)) => Self::At(mac),
            (_, None) => Self::Absent,
        }
    }
}

/// A neighbour that was asked for and does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unanswered {
    /// Its address.
    pub address: IpAddr,
    /// The index of the link.
    pub device: u32,
    /// It was given up (`FAILED`); otherwise it is still asked for (`INCOMPLETE`).
    pub failed: bool,
}

impl Unanswered {
    /// Those of all links. An entry that is asked for the first time is left out: its answer is a moment away.
    pub fn all(socket: &mut Socket) -> Result<Vec<Self>, Error> {
        let mut all = Vec::new();
        for family in Family::BOTH {
            let mut message = NeighbourMessage::default();
            message.header.family = family.in_header();
            message.header.kind = RouteType::Unspec;
            let dump = Request::dump(RouteNetlinkMessage::GetNeighbour(message));
            all.extend(socket.dump(dump, |message| Self::from_message(&message))?);
        }
        Ok(all)
    }

    fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
        let (mut address, mut probes) = (None, 0);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(IpAddr::V4(*ip)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(IpAddr::V6(*ip)),
                NeighbourAttribute::Probes(count) => probes = *count,
                _ => {}
            }
        }
        let failed = match message.header.state {
            NeighbourState::Failed => true,
            NeighbourState::Incomplete if probes > 1 => false,
            _ => return None,
        };
        Some(Self { address: address?, device: message.header.ifindex, failed })
    }
}

/// The key of an entry.
fn question(address: IpAddr, device: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = Family::of(address).in_header();
    message.header.ifindex = device;
    message.header.kind = RouteType::Unspec;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

impl Neighbour {
    /// Puts the entry in place of whatever was known of this neighbour.
    pub fn replace(&self) -> Request {
        let mut message = match self.hold {
            Hold::Fixed => self.message(NeighbourState::Permanent),
            Hold::Learned => {
                let mut message = self.message(NeighbourState::Stale);
                message.header.flags = NeighbourFlags::ExtLearned;
                message
            }
        };
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(self.mac.to_vec()));
        Request::replace(RouteNetlinkMessage::NewNeighbour(message))
    }

    /// Asks for the entry; `ENOENT` when there is none.
    pub fn get(&self) -> Request {
        Request::get(RouteNetlinkMessage::GetNeighbour(self.message(NeighbourState::None)))
    }

    fn message(&self, state: NeighbourState) -> NeighbourMessage {
        let mut message = question(self.address, self.device);
        message.header.state = state;
        message
    }

    /// Reads an entry that the kernel gave; `None` for another message, and for a neighbour that is not known yet.
    pub fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewNeighbour(message) = message else { return None };
        let hold = if message.header.state == NeighbourState::Permanent { Hold::Fixed } else { Hold::Learned };
        let (mut address, mut mac) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(IpAddr::V4(*ip)),
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(IpAddr::V6(*ip)),
                NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
                _ => {}
            }
        }
        Some(Self { address: address?, mac: mac?, device: message.header.ifindex, hold })
    }
}

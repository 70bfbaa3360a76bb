//! The entry of the kernel's routing tables that matches an address (`RTM_F_FIB_MATCH`), read tolerantly: a next
//! hop for which this crate has no field is named as such ([`Onward`]), and an attribute of a newer kernel is ignored.

use std::net::IpAddr;

use crate::Family;
use crate::nexthop;
use crate::request::Request;
use crate::route::{Looked, RouteKind, Scope};
use crate::socket::{Error, Socket};
use crate::wire::{Attributes, HEADER, KernelError, address, u16_at, u32_at};

/// Length of `struct rtmsg`, bytes.
const RTMSG: usize = 12;
/// Length of `struct rtnexthop`, bytes.
const RTNEXTHOP: usize = 8;

const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTA_NEWDST: u16 = 19;
const RTA_ENCAP_TYPE: u16 = 21;
const RTA_ENCAP: u16 = 22;
const RTA_NH_ID: u16 = 30;

/// `RTNH_F_ONLINK`.
const ONLINK: u32 = 4;

/// An entry of a routing table: the fields that decide where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibEntry {
    /// The address family of the destination.
    pub family: Family,
    /// The length of the destination's prefix.
    pub prefix: u8,
    /// What happens to a packet.
    pub kind: RouteKind,
    /// The routing table.
    pub table: u32,
    /// Who made it (`rtm_protocol`).
    pub protocol: u8,
    /// The distance of the destination; the kernel has it for IPv4 only.
    pub scope: Scope,
    /// It goes by a nexthop object (`ip nexthop`).
    pub by_object: bool,
    /// Where a packet goes.
    pub onward: Onward,
}

/// Where a route sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// To one next hop: by a link, to a gateway unless the destination itself is on the link.
    Hop {
        /// The gateway; of the other address family too (`RTA_VIA`).
        gateway: Option<IpAddr>,
        /// The index of the link.
        device: u32,
        /// The gateway is on the link whatever the addresses say (`RTNH_F_ONLINK`).
        onlink: bool,
    },
    /// To one of several next hops.
    Several,
    /// Into a tunnel or with a label (`RTA_ENCAP`, `RTA_NEWDST`).
    Encapsulated,
    /// The next hop cannot be read.
    Unread,
}

impl FibEntry {
    /// The entries that match these addresses, in their order, asked without a source and in few datagrams; the kernel's
    /// refusal where it has none that leads anywhere (`ENETUNREACH`, `EHOSTUNREACH`, `EACCES`, `EINVAL`).
    pub fn ask(socket: &mut Socket, addresses: &[IpAddr]) -> Result<Vec<Result<Self, KernelError>>, Error> {
        let sent = |address: &IpAddr| Looked { destination: *address, source: None, incoming: None };
        Self::ask_for(socket, &addresses.iter().map(sent).collect::<Vec<_>>())
    }

    /// The same for packets of which more is known.
    pub fn ask_for(socket: &mut Socket, packets: &[Looked]) -> Result<Vec<Result<Self, KernelError>>, Error> {
        let mut requests: Vec<Request> = packets.iter().map(Looked::question).collect();
        let mut read = Vec::with_capacity(requests.len());
        socket.ask_each(&mut requests, |answer| {
            read.push(answer.map(|message| Read::of(message.bytes)));
        })?;
        let resolve = |answer: Result<Read, KernelError>| match answer {
            Ok(read) => read.resolve(socket).map(Ok),
            Err(refused) => Ok(Err(refused)),
        };
        read.into_iter().map(resolve).collect()
    }
}

/// An entry as it was read: one by a nexthop object may have to be looked up.
#[derive(Debug)]
struct Read {
    entry: FibEntry,
    object: Option<u32>,
}

impl Read {
    fn of(message: &[u8]) -> Self {
        let byte = |at: usize| message.get(HEADER + at).copied().unwrap_or_default();
        let mut entry = FibEntry {
            family: if byte(0) == Family::V6.number() { Family::V6 } else { Family::V4 },
            prefix: byte(1),
            kind: RouteKind::from_number(byte(7)),
            table: byte(4).into(),
            protocol: byte(5),
            scope: Scope::from_number(byte(6)),
            by_object: false,
            onward: Onward::Unread,
        };
        let onlink = u32_at(message, HEADER + 8).unwrap_or_default() & ONLINK != 0;
        let mut object = None;
        let mut hop = Hop { onlink, ..Hop::default() };
        for (kind, value) in Attributes(message.get(HEADER + RTMSG..).unwrap_or_default()) {
            match kind {
                RTA_TABLE => entry.table = u32_at(value, 0).unwrap_or(entry.table),
                RTA_NH_ID => object = u32_at(value, 0),
                RTA_MULTIPATH => hop = Hop::of_multipath(value),
                _ => hop.take(kind, value),
            }
        }
        entry.by_object = object.is_some();
        entry.onward = hop.onward();
        Self { entry, object }
    }

    /// With `net.ipv4.nexthop_compat_mode` 0 the kernel gives the object's number and no next hop.
    fn resolve(self, socket: &mut Socket) -> Result<FibEntry, Error> {
        let Self { mut entry, object } = self;
        if let (Onward::Unread, Some(object)) = (entry.onward, object) {
            entry.onward = nexthop::onward(socket, object)?;
        }
        Ok(entry)
    }
}

/// One next hop while its attributes are read.
#[derive(Debug, Default)]
pub(crate) struct Hop {
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) device: Option<u32>,
    pub(crate) onlink: bool,
    pub(crate) encapsulated: bool,
    /// A gateway that cannot be read.
    pub(crate) odd: bool,
    pub(crate) several: bool,
}

impl Hop {
    fn take(&mut self, kind: u16, value: &[u8]) {
        match kind {
            RTA_OIF => self.device = u32_at(value, 0),
            RTA_GATEWAY => self.via(address(value)),
            // `struct rtvia`: the family, then the address.
            RTA_VIA => self.via(value.get(2..).and_then(address)),
            RTA_ENCAP | RTA_ENCAP_TYPE | RTA_NEWDST => self.encapsulated = true,
            _ => {}
        }
    }

    pub(crate) fn via(&mut self, gateway: Option<IpAddr>) {
        self.gateway = gateway;
        self.odd = gateway.is_none();
    }

    /// The only one of a list that holds one.
    fn of_multipath(list: &[u8]) -> Self {
        let length = u16_at(list, 0).map_or(0, usize::from);
        if length < RTNEXTHOP || list.len() > length.next_multiple_of(4) {
            return Self { several: true, ..Self::default() };
        }
        let onlink = list.get(2).is_some_and(|flags| u32::from(*flags) & ONLINK != 0);
        let mut hop = Self { device: u32_at(list, 4), onlink, ..Self::default() };
        for (kind, value) in Attributes(list.get(RTNEXTHOP..length).unwrap_or_default()) {
            hop.take(kind, value);
        }
        hop
    }

    pub(crate) fn onward(&self) -> Onward {
        let Self { gateway, device, onlink, encapsulated, odd, several } = *self;
        match device {
            _ if several => Onward::Several,
            _ if encapsulated => Onward::Encapsulated,
            Some(device) if !odd => Onward::Hop { gateway, device, onlink },
            _ => Onward::Unread,
        }
    }
}

#[cfg(test)]
mod tests;

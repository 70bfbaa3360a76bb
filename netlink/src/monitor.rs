//! The kernel's events: links, addresses, routes, policy rules and nexthop objects that changed, by any program.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::libc::{RTM_DELRULE, RTM_NEWRULE};
use nix::sys::socket::{
    setsockopt,
    sockopt::{RcvBuf, RcvBufForce},
};

use crate::netconf::{Switched, switched};
use crate::nexthop::{RTM_DELNEXTHOP, RTM_NEWNEXTHOP};
use crate::socket::Error;
use crate::tolerant;
use crate::wire::{Message, Protocol, Wire};

/// Multicast groups (`enum rtnetlink_groups`).
const LINKS: u32 = 1;
const ADDRESSES: [u32; 2] = [5, 9];
const ROUTES: [u32; 2] = [7, 11];
const RULES: [u32; 2] = [8, 19];
const NETCONF: [u32; 2] = [24, 25];
/// Unknown to a kernel before 5.3, which has no such objects.
const NEXTHOPS: u32 = 32;

/// Room for some thousand events while the reader is busy, bytes; the kernel takes it as they come.
const BUFFER: usize = 4 << 20;

/// The largest datagram that is read, bytes.
const DATAGRAM: usize = 64 * 1024;

/// One event.
#[derive(Clone, Debug)]
pub enum Event {
    /// An object was added, changed or removed; the message kind tells which.
    Changed(Box<RouteNetlinkMessage>),
    /// Forwarding was switched on or off.
    Switched(Switched),
    /// A policy rule was added or removed.
    Rules,
    /// A nexthop object was added, changed or removed.
    Nexthops,
    /// The kernel dropped events because the reader was slow (`ENOBUFS`): look at everything again.
    Overflow,
}

/// A socket that receives these events of the namespace in which it was opened. It never blocks.
pub struct Monitor {
    wire: Wire,
}

impl Monitor {
    /// Opens it for all of them, from now on.
    pub fn open() -> Result<Self, Error> {
        let groups = [&[LINKS], &ADDRESSES[..], &ROUTES, &RULES].concat();
        let monitor = Self::of(&groups)?;
        // In a user namespace the kernel gives no more than `rmem_max`. A small one loses events sooner, which is noticed.
        if setsockopt(&monitor.wire, RcvBufForce, &BUFFER).is_err() {
            let _ = setsockopt(&monitor.wire, RcvBuf, &BUFFER);
        }
        // Where the kernel has no such objects, none changes.
        let _ = monitor.wire.join(NEXTHOPS);
        Ok(monitor)
    }

    /// The same for links alone.
    pub fn of_links() -> Result<Self, Error> {
        Self::of(&[LINKS])
    }

    /// For forwarding, and for routes, which say what is forwarded where.
    pub fn of_forwarding() -> Result<Self, Error> {
        Self::of(&[ROUTES, NETCONF].concat())
    }

    fn of(groups: &[u32]) -> Result<Self, Error> {
        Ok(Self { wire: Wire::subscribe(Protocol::Route, groups).map_err(Error::Open)? })
    }

    /// The events of one datagram; `None` when there is none for now. What cannot be read is left out.
    pub fn read(&mut self) -> Result<Option<Vec<Event>>, Error> {
        match self.wire.receive(DATAGRAM) {
            Ok(messages) => Ok(messages.map(|messages| messages.filter_map(|message| event(&message)).collect())),
            Err(source) if source.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(Some(vec![Event::Overflow])),
            Err(source) => Err(Error::Receive(source)),
        }
    }
}

fn event(message: &Message<'_>) -> Option<Event> {
    match message.kind {
        RTM_NEWRULE | RTM_DELRULE => return Some(Event::Rules),
        RTM_NEWNEXTHOP | RTM_DELNEXTHOP => return Some(Event::Nexthops),
        _ => {}
    }
    let changed = || tolerant::decode(message.bytes).ok().map(|object| Event::Changed(Box::new(object)));
    switched(message).map(Event::Switched).or_else(changed)
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

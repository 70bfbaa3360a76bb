//! The kernel's own news: links, addresses, routes, policy rules and nexthop objects that changed, whoever changed them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::libc::{
    MSG_DONTWAIT, RTM_DELRULE, RTM_NEWRULE, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE, RTMGRP_LINK,
};
use nix::sys::socket::{
    setsockopt,
    sockopt::{RcvBuf, RcvBufForce},
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket as Handle, SocketAddr, protocols::NETLINK_ROUTE};

use crate::netconf::{Switched, switched};
use crate::nexthop::{RTM_DELNEXTHOP, RTM_NEWNEXTHOP};
use crate::reply::{Raw, messages};
use crate::socket::Error;
use crate::tolerant;

/// Bits of `RTNLGRP_IPV4_NETCONF` 24 and `RTNLGRP_IPV6_NETCONF` 25.
const RTMGRP_IPV4_NETCONF: i32 = 1 << 23;
const RTMGRP_IPV6_NETCONF: i32 = 1 << 24;

/// Room for some thousand events while the reader is busy, bytes; the kernel takes it as they come.
const BUFFER: usize = 4 << 20;

/// `RTNLGRP_IPV4_RULE`, `RTNLGRP_IPV6_RULE` and `RTNLGRP_NEXTHOP`. A kernel before 5.3 has no such objects, and takes no
/// group that it does not know.
const RULES_V4: u32 = 8;
const RULES_V6: u32 = 19;
const NEXTHOPS: u32 = 32;

/// One piece of news.
#[derive(Clone, Debug)]
pub enum Event {
    /// An object came, changed or went; the message kind says which.
    Changed(Box<RouteNetlinkMessage>),
    /// Forwarding was switched on or off.
    Switched(Switched),
    /// A policy rule came or went.
    Rules,
    /// A nexthop object came, changed or went.
    Nexthops,
    /// The kernel dropped news because the reader was slow (`ENOBUFS`): look at everything again.
    Overflow,
}

/// A socket that hears of these in the namespace in which it was opened. It never blocks.
pub struct Monitor {
    handle: Handle,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Opens it; everything that changes from now on will be told.
    pub fn open() -> Result<Self, Error> {
        let groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
        let monitor = Self::of(groups)?;
        // In a user namespace the kernel gives no more than `rmem_max`. A small one loses events sooner, which is noticed.
        if setsockopt(&monitor.handle, RcvBufForce, &BUFFER).is_err() {
            let _ = setsockopt(&monitor.handle, RcvBuf, &BUFFER);
        }
        for group in [RULES_V4, RULES_V6] {
            monitor.handle.add_membership(group).map_err(Error::Open)?;
        }
        // Where the kernel has no such objects, none changes.
        let _ = monitor.handle.add_membership(NEXTHOPS);
        Ok(monitor)
    }

    /// The same, of links alone.
    pub fn of_links() -> Result<Self, Error> {
        Self::of(RTMGRP_LINK)
    }

    /// Of forwarding, and of routes, which say what is forwarded where.
    pub fn of_forwarding() -> Result<Self, Error> {
        Self::of(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_NETCONF | RTMGRP_IPV6_NETCONF)
    }

    fn of(groups: i32) -> Result<Self, Error> {
        let mut handle = Handle::new(NETLINK_ROUTE).map_err(Error::Open)?;
        handle.bind(&SocketAddr::new(0, groups.cast_unsigned())).map_err(Error::Open)?;
        handle.set_non_blocking(true).map_err(Error::Open)?;
        Ok(Self { handle, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// The news of one datagram; `None` when there is none for now. What does not decode is left out.
    pub fn read(&mut self) -> Result<Option<Vec<Event>>, Error> {
        self.buffer.clear();
        match self.handle.recv(&mut self.buffer, MSG_DONTWAIT) {
            Ok(_) => Ok(Some(messages(&self.buffer).filter_map(|raw| event(&raw)).collect())),
            Err(source) if source.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(source) if source.kind() == io::ErrorKind::Interrupted => Ok(Some(Vec::new())),
            Err(source) if source.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(Some(vec![Event::Overflow])),
            Err(source) => Err(Error::Receive(source)),
        }
    }
}

fn event(raw: &Raw<'_>) -> Option<Event> {
    match raw.kind {
        RTM_NEWRULE | RTM_DELRULE => return Some(Event::Rules),
        RTM_NEWNEXTHOP | RTM_DELNEXTHOP => return Some(Event::Nexthops),
        _ => {}
    }
    let changed = || tolerant::decode(raw.bytes).ok().map(|message| Event::Changed(Box::new(message)));
    switched(raw).map(Event::Switched).or_else(changed)
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.handle.as_raw_fd()
    }
}

//! A netlink socket and what is common to all netlink families: messages, attributes, answers and dumps (RFC 3549, and the
//! kernel's Documentation/userspace-api/netlink/intro.rst). rtnetlink ([`crate::Socket`], [`crate::Monitor`]) and nf_tables
//! (crate `nftables`) are built on it.
//!
//! The kernel handles a request inside `sendmsg`, so nothing here waits: an answer that is not in the receive buffer after
//! sending will not come. What an object is, and which attributes it has, is not known here.

mod attribute;
mod dump;
#[cfg(test)]
mod fuzz;
mod message;

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use rtnetlink::sys::{Socket, SocketAddr};

pub(crate) use attribute::append;
pub use attribute::{Attribute, Attributes};
pub use dump::{DUMP_TRIES, DumpError, Dumped};
#[cfg(test)]
pub(crate) use message::sample;
pub(crate) use message::{HEADER, address, u16_at, u32_at};
pub use message::{KernelError, Message, NLMSG_ERROR, messages, write};

/// The kernel's port (netlink(7), `nl_pid`).
const KERNEL: u32 = 0;

/// A netlink family, which is the protocol number of its socket (`linux/netlink.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: links, addresses, routes, rules, neighbours.
    Route = 0,
    /// `NETLINK_NETFILTER`: nf_tables.
    Netfilter = 12,
}

/// A netlink socket of one family, in the network namespace in which it was opened. It never blocks.
pub struct Wire {
    socket: Socket,
    /// The sequence number of the last message.
    sequence: u32,
    /// The datagram that was read last; allocated with the first one.
    buffer: Vec<u8>,
}

impl Wire {
    /// Opens a socket for requests in the calling thread's network namespace. An error comes with the kernel's text
    /// (`NETLINK_EXT_ACK`) and without a copy of the request (`NETLINK_CAP_ACK`).
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let wire = Self::new(protocol)?;
        wire.socket.set_ext_ack(true)?;
        wire.socket.set_cap_ack(true)?;
        Ok(wire)
    }

    /// Opens a socket for the events of these multicast groups (`enum rtnetlink_groups`, `enum nfnetlink_groups`), from now
    /// on. Read it by [`Self::receive`].
    pub fn subscribe(protocol: Protocol, groups: &[u32]) -> io::Result<Self> {
        let mut wire = Self::new(protocol)?;
        wire.socket.bind(&SocketAddr::new(0, 0))?;
        wire.socket.set_non_blocking(true)?;
        groups.iter().try_for_each(|group| wire.join(*group))?;
        Ok(wire)
    }

    fn new(protocol: Protocol) -> io::Result<Self> {
        Ok(Self { socket: Socket::new(protocol as isize)?, sequence: 0, buffer: Vec::new() })
    }

    /// Joins one more multicast group; `EINVAL` where the kernel has no such group.
    pub fn join(&self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    /// Has the kernel choose the socket's port, by which events name their originator, and returns it.
    pub fn bind(&mut self) -> io::Result<u32> {
        Ok(self.socket.bind_auto()?.port_number())
    }

    /// Has the kernel apply each filter of a dump, or refuse the dump (`NETLINK_GET_STRICT_CHK`). False where the kernel does
    /// not know of it (before Linux 4.20): such a one applies no filter.
    pub fn set_strict(&self) -> io::Result<bool> {
        match self.socket.set_netlink_get_strict_chk(true) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(Errno::ENOPROTOOPT as i32) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The sequence number for the next message.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends messages as one datagram. When this returns, the kernel has handled them and queued its answers.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        retry(|| self.socket.send(datagram, 0)).map(drop)
    }

    /// Reads one datagram of the kernel, of at most `most` bytes; `None` where none is queued. `ENOBUFS`: the kernel dropped
    /// some, because the receive buffer was full. What another process sent to the socket's port is ignored: who has
    /// `CAP_NET_ADMIN` in the namespace can send there.
    pub fn receive(&mut self, most: usize) -> io::Result<Option<impl Iterator<Item = Message<'_>>>> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(most);
            match retry(|| self.socket.recv_from(&mut self.buffer, MSG_DONTWAIT)) {
                Ok((_, sender)) if sender.port_number() != KERNEL => {}
                Ok(_) => return Ok(Some(messages(&self.buffer))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the answers to the messages from sequence number `first` on, in datagrams of at most `most` bytes, until `take`
    /// breaks. `take` is given how many messages after the first one was answered (a stale answer has a huge number), and
    /// the answer. `None` where the kernel has no more answers.
    pub fn answers<T>(
        &mut self,
        first: u32,
        most: usize,
        mut take: impl FnMut(usize, &Message<'_>) -> ControlFlow<T>,
    ) -> io::Result<Option<T>> {
        while let Some(messages) = self.receive(most)? {
            for message in messages {
                let index = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let ControlFlow::Break(value) = take(index, &message) {
                    return Ok(Some(value));
                }
            }
        }
        Ok(None)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => {}
            done => return done,
        }
    }
}

//! nfnetlink as far as nf_tables needs it here: transactions of messages, each acknowledged, dumps, and events. What the
//! messages mean is not known here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};

use super::attribute::{Attribute, Attributes};

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
pub(super) const NEW_TABLE: u16 = SUBSYSTEM << 8;
pub(super) const GET_TABLE: u16 = (SUBSYSTEM << 8) | 1;
pub(super) const DELETE_TABLE: u16 = (SUBSYSTEM << 8) | 2;
pub(super) const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
pub(super) const GET_CHAIN: u16 = (SUBSYSTEM << 8) | 4;
pub(super) const DELETE_CHAIN: u16 = (SUBSYSTEM << 8) | 5;
pub(super) const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;
pub(super) const GET_RULE: u16 = (SUBSYSTEM << 8) | 7;
pub(super) const DELETE_RULE: u16 = (SUBSYSTEM << 8) | 8;
pub(super) const NEW_SET: u16 = (SUBSYSTEM << 8) | 9;
pub(super) const GET_SET: u16 = (SUBSYSTEM << 8) | 10;
pub(super) const DELETE_SET: u16 = (SUBSYSTEM << 8) | 11;
pub(super) const NEW_ELEMENTS: u16 = (SUBSYSTEM << 8) | 12;
pub(super) const GET_ELEMENTS: u16 = (SUBSYSTEM << 8) | 13;
pub(super) const DELETE_ELEMENTS: u16 = (SUBSYSTEM << 8) | 14;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
/// A rule goes behind those that are there.
const NLM_F_APPEND: u16 = 0x800;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("open a netfilter socket: {0}")]
    Open(#[source] io::Error),
    #[error("send rules: {0}")]
    Send(#[source] io::Error),
    #[error("receive the answer: {0}")]
    Receive(#[source] io::Error),
    #[error("message {message}: {errno} (does the kernel have nf_tables and nft_fib?)")]
    Refused { message: usize, errno: Errno },
    #[error("the kernel answered {answered} of {messages} messages")]
    Unanswered { answered: usize, messages: usize },
    #[error("read rules: {0}")]
    Dump(#[source] Errno),
    #[error("read rules: they change faster than they can be read")]
    Interrupted,
    #[error("change the rules in place: {in_place}; make them again: {again}")]
    Twice { in_place: Box<Error>, again: Box<Error> },
}

impl Error {
    /// The socket has no room for so large a transaction.
    pub(super) fn is_too_large(&self) -> bool {
        let Self::Send(error) = self else { return false };
        [Errno::EMSGSIZE, Errno::ENOBUFS].map(|errno| Some(errno as i32)).contains(&error.raw_os_error())
    }
}

/// What a datagram needs in the socket's buffer beside its own bytes, and some more.
const ROOM: usize = 4096;

/// How often a dump is begun again that the kernel's own changes broke.
const DUMPS: usize = 16;

/// What a dump tells of one object: its family, and its attributes as bytes.
pub(super) type Told = (u8, Vec<u8>);

/// One message of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) family: u8,
    pub(super) kind: u16,
    pub(super) attributes: Vec<Attribute>,
}

/// An event: who caused it, and of which table it speaks.
pub struct Event<'a> {
    /// The netlink port of the socket that made the change.
    pub port: u32,
    /// The table's name.
    pub table: Option<&'a str>,
}

/// A netfilter socket of the network namespace in which it was opened. It never blocks.
pub struct Nfnetlink {
    socket: Socket,
    port: u32,
    /// The number of the last message sent.
    sequence: u32,
}

impl Nfnetlink {
    /// A socket for transactions.
    pub fn requests() -> Result<Self, Error> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(Error::Open)?;
        let address = socket.bind_auto().map_err(Error::Open)?;
        socket.set_cap_ack(true).map_err(Error::Open)?;
        Ok(Self { socket, port: address.port_number(), sequence: 0 })
    }

    /// A socket that hears of every change of the ruleset.
    pub fn events() -> Result<Self, Error> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(Error::Open)?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(Error::Open)?;
        socket.add_membership(GROUP).map_err(Error::Open)?;
        socket.set_non_blocking(true).map_err(Error::Open)?;
        Ok(Self { socket, port: 0, sequence: 0 })
    }

    /// By which events tell their cause.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Carries out all of `messages`, or none.
    pub(super) fn transaction(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        let mut datagram = Vec::new();
        let begin = self.next();
        write(&mut datagram, BATCH_BEGIN, NLM_F_REQUEST, begin, [0, SUBSYSTEM], &[]);
        for message in &messages {
            let flags = match message.kind {
                NEW_RULE => NLM_F_CREATE | NLM_F_APPEND,
                NEW_TABLE | NEW_CHAIN | NEW_SET | NEW_ELEMENTS => NLM_F_CREATE,
                _ => 0,
            };
            let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
            write(&mut datagram, message.kind, flags, self.next(), [message.family.into(), 0], &message.attributes);
        }
        write(&mut datagram, BATCH_END, NLM_F_REQUEST, self.next(), [0, SUBSYSTEM], &[]);
        self.make_room(datagram.len());
        self.socket.send(&datagram, 0).map_err(Error::Send)?;
        self.verdicts(begin, messages.len())
    }

    /// Has the socket take a datagram of so many bytes, as far as the kernel allows it: what it does not allow, the sending
    /// says. Without CAP_NET_ADMIN of the machine itself `net.core.wmem_max` is the limit.
    fn make_room(&self, bytes: usize) {
        if getsockopt(&self.socket, sockopt::SndBuf).is_ok_and(|room| room < bytes + ROOM) {
            let wanted = bytes + ROOM;
            let forced = setsockopt(&self.socket, sockopt::SndBufForce, &wanted);
            let _ = forced.or_else(|_| setsockopt(&self.socket, sockopt::SndBuf, &wanted));
        }
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Reads the acknowledgements. The kernel works while we send: what is not there by now will never come.
    fn verdicts(&mut self, begin: u32, count: usize) -> Result<(), Error> {
        let mut answered = 0;
        let mut refused = None;
        let mut buffer = Vec::with_capacity(16 * 1024);
        while answered < count {
            buffer.clear();
            match self.socket.recv(&mut buffer, MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Error::Receive(error)),
            }
            for raw in messages(&buffer).filter(|raw| raw.kind == NLMSG_ERROR) {
                // What answers an earlier transaction, of which an error was enough, says nothing of this one.
                let message = usize::try_from(raw.sequence.wrapping_sub(begin)).unwrap_or(usize::MAX);
                if message > count {
                    continue;
                }
                answered += 1;
                let code = raw.code();
                if code != 0 && refused.is_none() {
                    refused = Some(Error::Refused { message, errno: Errno::from_raw(code.wrapping_neg()) });
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None if answered < count => Err(Error::Unanswered { answered, messages: count }),
            None => Ok(()),
        }
    }

    /// Asks for all objects of a kind; `attributes` narrow it down as far as the kernel heeds them.
    pub(super) fn dump(&mut self, family: u8, kind: u16, attributes: &[Attribute]) -> Result<Vec<Told>, Error> {
        for _ in 0..DUMPS {
            match self.dump_once(family, kind, attributes) {
                Ok(Some(told)) => return Ok(told),
                // What was asked for is not there (a table that went meanwhile), so there is nothing of it.
                Err(Error::Dump(Errno::ENOENT)) => return Ok(Vec::new()),
                Err(error) => return Err(error),
                Ok(None) => {}
            }
        }
        Err(Error::Interrupted)
    }

    /// `None` when the rules changed meanwhile.
    fn dump_once(&mut self, family: u8, kind: u16, attributes: &[Attribute]) -> Result<Option<Vec<Told>>, Error> {
        let sequence = self.next();
        let mut datagram = Vec::new();
        write(&mut datagram, kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, [family.into(), 0], attributes);
        self.socket.send(&datagram, 0).map_err(Error::Send)?;
        let (mut told, mut whole) = (Vec::new(), true);
        let mut buffer = Vec::with_capacity(64 * 1024);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Receive(error)),
            }
            for raw in messages(&buffer).filter(|raw| raw.sequence == sequence) {
                whole &= raw.flags & NLM_F_DUMP_INTR == 0;
                match raw.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        return match raw.code() {
                            0 => Ok(whole.then_some(told)),
                            code if code.wrapping_neg() == Errno::EINTR as i32 => Ok(None),
                            code => Err(Error::Dump(Errno::from_raw(code.wrapping_neg()))),
                        };
                    }
                    _ => told.extend(raw.object()),
                }
            }
        }
    }

    /// Reads all events that wait; true when the kernel dropped some because the reader was slow.
    pub fn news(&mut self, mut each: impl FnMut(&Event<'_>)) -> Result<bool, Error> {
        let mut lost = false;
        let mut buffer = Vec::with_capacity(64 * 1024);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, MSG_DONTWAIT) {
                Ok(_) => messages(&buffer).for_each(|raw| raw.event().iter().for_each(&mut each)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lost),
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => lost = true,
                Err(error) => return Err(Error::Receive(error)),
            }
        }
    }
}

impl AsFd for Nfnetlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Appends one message: `struct nlmsghdr`, `struct nfgenmsg` {family, version 0, big-endian resource}, attributes.
fn write(
    datagram: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    [family, resource]: [u16; 2],
    attributes: &[Attribute],
) {
    let length = HEADER + GENERIC + attributes.iter().map(|attribute| attribute.encoded().len()).sum::<usize>();
    datagram.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(flags.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend(0u32.to_ne_bytes());
    datagram.extend([family.to_le_bytes()[0], 0]);
    datagram.extend(resource.to_be_bytes());
    datagram.extend(attributes.iter().flat_map(Attribute::encoded));
}

/// A message of a datagram.
struct Raw<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    bytes: &'a [u8],
}

fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let bytes = datagram.get(..length).filter(|bytes| bytes.len() >= HEADER)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        let half = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
        Some(Raw { kind: half(4)?, flags: half(6)?, sequence: u32_at(bytes, 8)?, port: u32_at(bytes, 12)?, bytes })
    })
}

impl Raw<'_> {
    /// The error code of an answer, or the end of a dump.
    fn code(&self) -> i32 {
        u32_at(self.bytes, HEADER).map_or(0, u32::cast_signed)
    }

    fn object(&self) -> Option<Told> {
        let family = *self.bytes.get(HEADER)?;
        Some((family, self.bytes.get(HEADER + GENERIC..)?.to_vec()))
    }

    /// Tables, chains, rules, sets and elements all have their table's name as attribute 1.
    fn event(&self) -> Option<Event<'_>> {
        let attributes = self.bytes.get(HEADER + GENERIC..).filter(|_| self.kind >> 8 == SUBSYSTEM)?;
        Some(Event { port: self.port, table: Attributes(attributes).text(1) })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|value| value.try_into().ok()).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_any_datagram_is_read() {
        fuzz::run("nfnetlink", |datagram| {
            for raw in messages(datagram) {
                let _ = (raw.sequence, raw.port, raw.event().map(|event| (event.port, event.table.map(str::len))));
            }
        });
    }

    #[test]
    fn an_event_tells_its_table_and_its_cause_and_no_cut_makes_it_panic() {
        let mut datagram = Vec::new();
        write(&mut datagram, DELETE_TABLE, 0, 3, [1, 0], &[Attribute::text(1, "podlan"), Attribute::number(2, 0)]);
        datagram[12..16].copy_from_slice(&77u32.to_ne_bytes());
        let raw = messages(&datagram).next().unwrap();
        let event = raw.event().unwrap();
        assert_eq!((event.port, event.table), (77, Some("podlan")));
        for end in 0..datagram.len() {
            for raw in messages(&datagram[..end]) {
                let _ = raw.event();
            }
        }
        for at in 0..datagram.len() {
            let mut flipped = datagram.clone();
            flipped[at] ^= 0xff;
            for raw in messages(&flipped) {
                let _ = raw.event();
            }
        }
    }
}

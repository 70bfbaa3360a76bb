//! nfnetlink as far as nf_tables needs it here: transactions of messages, each acknowledged, and events. What the
//! messages mean is not known here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
pub(super) const NEW_TABLE: u16 = SUBSYSTEM << 8;
pub(super) const DELETE_TABLE: u16 = (SUBSYSTEM << 8) | 2;
pub(super) const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
pub(super) const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLA_F_NESTED: u16 = 0x8000;
/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
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
}

/// A netlink attribute, encoded; numbers are big-endian here, unlike in rtnetlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute(Vec<u8>);

impl Attribute {
    pub(super) fn bytes(kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(usize::from(length).next_multiple_of(4));
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Self(bytes)
    }

    pub(super) fn number(kind: u16, value: u32) -> Self {
        Self::bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn text(kind: u16, value: &str) -> Self {
        Self::bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(super) fn nested(kind: u16, inner: &[Self]) -> Self {
        let inner: Vec<u8> = inner.iter().flat_map(|attribute| &attribute.0).copied().collect();
        Self::bytes(kind | NLA_F_NESTED, &inner)
    }
}

/// One message of a transaction.
pub(super) struct Message {
    pub(super) family: u8,
    pub(super) kind: u16,
    pub(super) attributes: Vec<Attribute>,
}

/// An event: who caused it, and of which table it speaks.
pub(super) struct Event<'a> {
    pub(super) port: u32,
    pub(super) table: Option<&'a str>,
}

/// A netfilter socket of the network namespace in which it was opened. It never blocks.
pub(super) struct Nfnetlink {
    socket: Socket,
    port: u32,
}

impl Nfnetlink {
    /// A socket for transactions.
    pub(super) fn requests() -> Result<Self, Error> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(Error::Open)?;
        let address = socket.bind_auto().map_err(Error::Open)?;
        socket.set_cap_ack(true).map_err(Error::Open)?;
        Ok(Self { socket, port: address.port_number() })
    }

    /// A socket that hears of every change of the ruleset.
    pub(super) fn events() -> Result<Self, Error> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(Error::Open)?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(Error::Open)?;
        socket.add_membership(GROUP).map_err(Error::Open)?;
        socket.set_non_blocking(true).map_err(Error::Open)?;
        Ok(Self { socket, port: 0 })
    }

    /// By which events tell their cause.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Carries out all of `messages`, or none.
    pub(super) fn transaction(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        let mut datagram = Vec::new();
        write(&mut datagram, BATCH_BEGIN, NLM_F_REQUEST, 0, [0, SUBSYSTEM], &[]);
        for (message, sequence) in messages.iter().zip(1u32..) {
            let flags = NLM_F_REQUEST | NLM_F_ACK | if message.kind == DELETE_TABLE { 0 } else { NLM_F_CREATE };
            write(&mut datagram, message.kind, flags, sequence, [message.family.into(), 0], &message.attributes);
        }
        write(&mut datagram, BATCH_END, NLM_F_REQUEST, 0, [0, SUBSYSTEM], &[]);
        self.socket.send(&datagram, 0).map_err(Error::Send)?;
        self.verdicts(messages.len())
    }

    /// Reads the acknowledgements. The kernel works while we send: what is not there by now will never come.
    fn verdicts(&mut self, count: usize) -> Result<(), Error> {
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
                let code = u32_at(raw.bytes, HEADER).map_or(0, u32::cast_signed);
                answered += 1;
                if code != 0 && refused.is_none() {
                    let message = usize::try_from(raw.sequence).unwrap_or_default();
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

    /// Reads all events that wait; true when `matters` held for one, or when some were lost.
    pub(super) fn news(&mut self, matters: impl Fn(&Event<'_>) -> bool) -> Result<bool, Error> {
        let mut due = false;
        let mut buffer = Vec::with_capacity(64 * 1024);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, MSG_DONTWAIT) {
                Ok(_) => due |= messages(&buffer).any(|raw| raw.event().is_some_and(|event| matters(&event))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(due),
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => due = true,
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
    let length = HEADER + GENERIC + attributes.iter().map(|attribute| attribute.0.len()).sum::<usize>();
    datagram.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(flags.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend(0u32.to_ne_bytes());
    datagram.extend([family.to_le_bytes()[0], 0]);
    datagram.extend(resource.to_be_bytes());
    datagram.extend(attributes.iter().flat_map(|attribute| &attribute.0));
}

/// A message of a datagram.
struct Raw<'a> {
    kind: u16,
    sequence: u32,
    port: u32,
    bytes: &'a [u8],
}

fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let bytes = datagram.get(..length).filter(|bytes| bytes.len() >= HEADER)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        Some(Raw { kind, sequence: u32_at(bytes, 8)?, port: u32_at(bytes, 12)?, bytes })
    })
}

impl Raw<'_> {
    /// Tables, chains and rules all have their table's name as attribute 1.
    fn event(&self) -> Option<Event<'_>> {
        if self.kind >> 8 != SUBSYSTEM {
            return None;
        }
        let mut attributes = self.bytes.get(HEADER + GENERIC..)?;
        let mut table = None;
        while let Some([a, b, c, d]) = attributes.get(..4).and_then(|head| <[u8; 4]>::try_from(head).ok()) {
            let length = usize::from(u16::from_ne_bytes([a, b]));
            let value = attributes.get(4..length)?;
            if u16::from_ne_bytes([c, d]) == 1 {
                table = std::str::from_utf8(value).ok().map(|name| name.trim_end_matches('\0'));
            }
            attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(Event { port: self.port, table })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|value| value.try_into().ok()).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

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

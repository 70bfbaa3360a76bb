//! nfnetlink as far as nf_tables needs it here: transactions of messages, each acknowledged, dumps, and events. What the
//! messages mean is not known here.

use std::io;
use std::ops::ControlFlow::{Break, Continue};
use std::os::fd::{AsFd, BorrowedFd};

use netlink::wire::{self, Attribute, DumpError, NLMSG_ERROR, Protocol, Wire, write};
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::needed::{TABLES, is_of_a_lack, needed};

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

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
/// A rule goes behind those that are there.
const NLM_F_APPEND: u16 = 0x800;
/// Length of `struct nfgenmsg`, bytes.
const GENERIC: usize = 4;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("open a netfilter socket: {0}{hint}", hint = hint(.0.raw_os_error().map(Errno::from_raw), TABLES))]
    Open(#[source] io::Error),
    #[error("send rules: {0}")]
    Send(#[source] io::Error),
    #[error("receive the answer: {0}")]
    Receive(#[source] io::Error),
    #[error("message {message}: {errno}{hint}", hint = hint(Some(*.errno), .needs))]
    Refused { message: usize, errno: Errno, needs: &'static str },
    #[error("the kernel answered {answered} of {messages} messages")]
    Unanswered { answered: usize, messages: usize },
    #[error("read rules: {0}{hint}", hint = hint(Some(of_dump(*.0)), TABLES))]
    Dump(#[source] Errno),
    #[error("read rules: they change faster than they can be read")]
    Interrupted,
    #[error("change the rules in place: {in_place}; make them again: {again}")]
    Twice { in_place: Box<Error>, again: Box<Error> },
}

impl From<DumpError> for Error {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Send(source) => Self::Send(source),
            DumpError::Receive(source) => Self::Receive(source),
            DumpError::Unanswered => Self::Unanswered { answered: 0, messages: 1 },
            DumpError::Refused(refused) => Self::Dump(refused.errno),
            DumpError::Interrupted => Self::Interrupted,
        }
    }
}

/// What the kernel means by its answer, where that is known. One without a family, an expression or a kind of chain answers
/// as if an object were missing; another errno says nothing about the kernel's parts.
fn hint(errno: Option<Errno>, needs: &str) -> String {
    match errno {
        Some(errno) if is_of_a_lack(errno) && !needs.is_empty() => format!(" (does the kernel have {needs}?)"),
        Some(Errno::EPERM) => " (is the capability NET_ADMIN missing?)".to_owned(),
        _ => String::new(),
    }
}

/// A dump has no other reason for `EINVAL` than that nobody answers for nf_tables (`nfnetlink_rcv_msg`).
fn of_dump(errno: Errno) -> Errno {
    if errno == Errno::EINVAL { Errno::EOPNOTSUPP } else { errno }
}

impl Error {
    /// Whether the kernel may lack a part: it made nothing of a table, chain, set or rule.
    pub fn is_of_a_lack(&self) -> bool {
        match self {
            Self::Refused { errno, needs, .. } => is_of_a_lack(*errno) && !needs.is_empty(),
            Self::Twice { again, .. } => again.is_of_a_lack(),
            _ => false,
        }
    }

    /// Whether the kernel has no nf_tables at all: no socket of netfilter, or nobody who answers there.
    pub fn is_without_tables(&self) -> bool {
        match self {
            Self::Open(error) => error.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32),
            Self::Dump(errno) => of_dump(*errno) == Errno::EOPNOTSUPP,
            // `nfnetlink_rcv_batch` of a batch's first message.
            Self::Refused { message: 0, errno: Errno::EOPNOTSUPP, .. } => true,
            _ => false,
        }
    }

    /// The socket has no room for so large a transaction.
    pub(super) fn is_too_large(&self) -> bool {
        let Self::Send(error) = self else { return false };
        [Errno::EMSGSIZE, Errno::ENOBUFS].map(|errno| Some(errno as i32)).contains(&error.raw_os_error())
    }
}

/// What a datagram needs in the socket's buffer beside its own bytes, and some more.
const ROOM: usize = 4096;

/// The largest datagram of acknowledgements, and of events, that is read, bytes.
const ANSWERS: usize = 16 * 1024;
const EVENTS: usize = 64 * 1024;

/// One object of a dump: its family, and its attributes as bytes.
pub(super) type Object = (u8, Vec<u8>);

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
    wire: Wire,
    port: u32,
}

impl Nfnetlink {
    /// A socket for transactions.
    pub fn requests() -> Result<Self, Error> {
        let mut wire = Wire::open(Protocol::Netfilter).map_err(Error::Open)?;
        let port = wire.bind().map_err(Error::Open)?;
        Ok(Self { wire, port })
    }

    /// A socket for transactions; `None` where the kernel has no such sockets, and so no table.
    pub fn if_any() -> Result<Option<Self>, Error> {
        match Self::requests() {
            Err(error) if error.is_without_tables() => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// A socket that receives an event for every change of the ruleset.
    pub fn events() -> Result<Self, Error> {
        Ok(Self { wire: Wire::subscribe(Protocol::Netfilter, &[GROUP]).map_err(Error::Open)?, port: 0 })
    }

    /// The socket's netlink port, by which events name their originator.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Carries out all of `messages`, or none.
    pub(super) fn transaction(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        self.batch(messages, true)
    }

    /// Has the kernel judge `messages`, and carry out none: a batch without an end is taken back (as `nft --check` does).
    pub(super) fn rehearsal(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        self.batch(messages, false)
    }

    fn batch(&mut self, messages: Vec<Message>, ends: bool) -> Result<(), Error> {
        let mut datagram = Vec::new();
        let begin = self.wire.next_sequence();
        write(&mut datagram, BATCH_BEGIN, NLM_F_REQUEST, begin, &generic(0, SUBSYSTEM), &[]);
        for Message { family, kind, attributes } in &messages {
            let flags = match *kind {
                NEW_RULE => NLM_F_CREATE | NLM_F_APPEND,
                NEW_TABLE | NEW_CHAIN | NEW_SET | NEW_ELEMENTS => NLM_F_CREATE,
                _ => 0,
            };
            let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
            write(&mut datagram, *kind, flags, self.wire.next_sequence(), &generic(*family, 0), attributes);
        }
        if ends {
            write(&mut datagram, BATCH_END, NLM_F_REQUEST, self.wire.next_sequence(), &generic(0, SUBSYSTEM), &[]);
        }
        self.make_room(datagram.len());
        self.wire.send(&datagram).map_err(Error::Send)?;
        self.verdicts(begin, &messages)
    }

    /// Enlarges the socket's send buffer for a datagram of so many bytes, as far as the kernel allows; where it is still too
    /// small, sending fails. Without CAP_NET_ADMIN in the initial user namespace `net.core.wmem_max` is the limit.
    fn make_room(&self, bytes: usize) {
        if getsockopt(&self.wire, sockopt::SndBuf).is_ok_and(|room| room < bytes + ROOM) {
            let wanted = bytes + ROOM;
            let forced = setsockopt(&self.wire, sockopt::SndBufForce, &wanted);
            let _ = forced.or_else(|_| setsockopt(&self.wire, sockopt::SndBuf, &wanted));
        }
    }

    /// Reads the acknowledgements.
    fn verdicts(&mut self, begin: u32, messages: &[Message]) -> Result<(), Error> {
        let count = messages.len();
        let (mut answered, mut refused) = (0, None);
        let read = self.wire.answers(begin, ANSWERS, |message, answer| {
            // A stale answer belongs to an earlier transaction, of which the first error was enough.
            if answer.kind != NLMSG_ERROR || message > count {
                return Continue(());
            }
            answered += 1;
            if let Err(error) = answer.verdict() {
                // The first message is the batch's beginning.
                let needs = message.checked_sub(1).and_then(|index| messages.get(index)).map_or("", needed);
                refused.get_or_insert(Error::Refused { message, errno: error.errno, needs });
            }
            if answered < count { Continue(()) } else { Break(()) }
        });
        read.map_err(Error::Receive)?;
        match refused {
            Some(error) => Err(error),
            None if answered < count => Err(Error::Unanswered { answered, messages: count }),
            None => Ok(()),
        }
    }

    /// Asks for all objects of a kind; `attributes` narrow it down as far as the kernel applies them.
    pub(super) fn dump(&mut self, family: u8, kind: u16, attributes: &[Attribute]) -> Result<Vec<Object>, Error> {
        let request = |sequence, datagram: &mut Vec<u8>| {
            write(datagram, kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, &generic(family, 0), attributes);
        };
        match self.wire.dump(request, |message| object(message).map(Some).ok_or(())) {
            Ok(dumped) => Ok(dumped.objects),
            // The table was removed meanwhile, so nothing of it is there.
            Err(DumpError::Refused(refused)) if refused.errno == Errno::ENOENT => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads all events that wait; true when the kernel dropped some because the reader was slow.
    pub fn read_events(&mut self, mut each: impl FnMut(&Event<'_>)) -> Result<bool, Error> {
        let mut lost = false;
        loop {
            match self.wire.receive(EVENTS) {
                Ok(Some(messages)) => messages.for_each(|message| event(&message).iter().for_each(&mut each)),
                Ok(None) => return Ok(lost),
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => lost = true,
                Err(error) => return Err(Error::Receive(error)),
            }
        }
    }
}

impl AsFd for Nfnetlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

/// `struct nfgenmsg`: the family, the version 0, and a resource number in network byte order.
fn generic(family: u8, resource: u16) -> [u8; GENERIC] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn object(message: &wire::Message<'_>) -> Option<Object> {
    let family = *message.split(GENERIC).0.first()?;
    Some((family, message.attributes(GENERIC).0.to_vec()))
}

/// Tables, chains, rules, sets and elements all have their table's name as attribute 1.
fn event<'a>(message: &wire::Message<'a>) -> Option<Event<'a>> {
    let attributes = Some(message.attributes(GENERIC)).filter(|_| message.kind >> 8 == SUBSYSTEM)?;
    Some(Event { port: message.port, table: attributes.text(1) })
}

#[cfg(test)]
mod tests {
    use netlink::wire::{Attributes, messages};

    use super::*;
    use crate::foreign::step;
    use crate::observed::comment;

    #[test]
    fn a_missing_part_of_the_kernel_is_suspected_only_where_the_answer_means_that() {
        let refused = |errno| Error::Refused { message: 3, errno, needs: "nft_fib" }.to_string();
        for errno in [Errno::ENOENT, Errno::EOPNOTSUPP] {
            assert!(refused(errno).contains("nft_fib"), "{errno}");
        }
        for errno in [Errno::EPERM, Errno::EBUSY, Errno::ENOMEM, Errno::EINVAL, Errno::EEXIST] {
            assert!(!refused(errno).contains("nft_fib"), "{errno}");
        }
        assert!(refused(Errno::EPERM).contains("NET_ADMIN"));
        assert!(Error::Open(Errno::EPROTONOSUPPORT.into()).to_string().contains("nf_tables"));
    }

    #[test]
    fn fuzz_what_any_datagram_says_is_in_it_and_reads_the_same_once_written_again() {
        fuzz::run("nfnetlink", |datagram| {
            for message in fuzz::bounded(messages(datagram), datagram.len() / 16) {
                let Some((family, attributes)) = object(&message) else {
                    assert!(message.split(GENERIC).0.is_empty(), "only a message without a header has no object");
                    continue;
                };
                // Nested ones begin anywhere. Each takes four bytes at least.
                for begin in (0..attributes.len()).step_by(4) {
                    let bytes = &attributes[begin..];
                    fuzz::bounded(Attributes(bytes), bytes.len() / 4).for_each(drop);
                }
                let all: Vec<_> = Attributes(&attributes).map(|(kind, value)| Attribute::bytes(kind, value)).collect();
                let mut again = Vec::new();
                write(&mut again, message.kind, message.flags, message.sequence, &generic(family, 0), &all);
                let read = messages(&again).next().expect("what is written is a message");
                let (family_again, attributes_again) = object(&read).expect("with an object");
                assert_eq!((read.kind, family_again), (message.kind, family));
                assert!(
                    Attributes(&attributes).eq(Attributes(&attributes_again)),
                    "attributes read another time differ"
                );
                let table = event(&message).and_then(|event| event.table.map(str::to_owned));
                assert_eq!(event(&read).and_then(|event| event.table.map(str::to_owned)), table);
                let rule = Attributes(&attributes);
                let userdata = rule.find(7).unwrap_or_default();
                let comment = comment(rule).unwrap_or_default();
                let is_in = userdata.windows(comment.len().max(1)).any(|part| part == comment.as_bytes());
                assert!(is_in || comment.is_empty(), "a comment that is not in the rule");
                rule.inside(4).for_each(|(_, expression)| drop(step(Attributes(expression))));
            }
        });
    }

    #[test]
    fn an_event_names_its_table_and_its_originator_and_no_cut_makes_it_panic() {
        let mut datagram = Vec::new();
        let table = [Attribute::text(1, "podlan"), Attribute::be32(2, 0)];
        write(&mut datagram, DELETE_TABLE, 0, 3, &generic(1, 0), &table);
        datagram[12..16].copy_from_slice(&77u32.to_ne_bytes());
        let message = messages(&datagram).next().unwrap();
        let read = event(&message).unwrap();
        assert_eq!((read.port, read.table), (77, Some("podlan")));
        let all_events = |datagram: &[u8]| messages(datagram).filter(|message| event(message).is_some()).count();
        for end in 0..datagram.len() {
            assert_eq!(all_events(&datagram[..end]), 0);
        }
        for at in 0..datagram.len() {
            let mut flipped = datagram.clone();
            flipped[at] ^= 0xff;
            assert!(all_events(&flipped) <= 1);
        }
    }
}

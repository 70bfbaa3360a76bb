//! A route socket: many requests in one datagram, one verdict for each, no waiting.

use std::io;
use std::ops::ControlFlow::{Break, Continue};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::packet_core::{DecodeError, NLM_F_REQUEST};

use crate::netns::netns_of;
use crate::request::Request;
use crate::selection::Selection;
use crate::tolerant;
use crate::wire::{Attribute, DUMP_TRIES, DumpError, KernelError, Message, NLMSG_ERROR, Protocol, Wire, write};

/// Requests in one datagram: their acknowledgements must fit the default receive buffer (212,992 bytes) together.
const BATCH: usize = 128;

/// Questions in one datagram: each answer is a datagram of its own in the receive buffer, 3 kB of it at most.
const QUESTIONS: usize = 64;

/// More than one object has, and more than one datagram of verdicts. Each page that an ADD touches first costs 2 us.
const SINGLE: usize = 8 * 1024;

/// What went wrong with the socket itself: nothing can be said of the requests.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("open a route netlink socket: {0}")]
    Open(#[source] io::Error),
    #[error("send {requests} netlink requests: {source}")]
    Send { requests: usize, source: io::Error },
    #[error("receive netlink answers: {0}")]
    Receive(#[source] io::Error),
    #[error("the kernel answered {answered} of {requests} netlink requests")]
    Unanswered { answered: usize, requests: usize },
    #[error("a netlink dump was interrupted {DUMP_TRIES} times in a row")]
    Interrupted,
    #[error("decode a netlink answer: {0}")]
    Decode(#[from] DecodeError),
    #[error("dump: {0}")]
    Dump(#[from] KernelError),
    #[error("look for a link: {0}")]
    Link(#[source] KernelError),
    #[error("look for a route: {0}")]
    Route(#[source] KernelError),
    #[error("ask whether packets are forwarded: {0}")]
    Netconf(#[source] KernelError),
}

impl From<DumpError> for Error {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Send(source) => Self::Send { requests: 1, source },
            DumpError::Receive(source) => Self::Receive(source),
            DumpError::Unanswered => Self::Unanswered { answered: 0, requests: 1 },
            DumpError::Refused(refused) => Self::Dump(refused),
            DumpError::Interrupted => Self::Interrupted,
        }
    }
}

/// A route netlink socket. It belongs to the network namespace in which it was opened, for as long as it is open.
pub struct Socket {
    wire: Wire,
    /// The kernel was asked to select the objects of dumps itself, once.
    asked_strict: bool,
    unreadable: u64,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { wire: Wire::open(Protocol::Route).map_err(Error::Open)?, asked_strict: false, unreadable: 0 })
    }

    /// The network namespace that the socket belongs to, opened.
    pub fn netns(&self) -> io::Result<OwnedFd> {
        netns_of(self)
    }

    /// How many objects of dumps could not be read and were left out, since the last call.
    pub fn take_unreadable(&mut self) -> u64 {
        std::mem::take(&mut self.unreadable)
    }

    /// Sends the requests in order and returns the kernel's verdict on each. A refused one does not stop those after it.
    pub fn request(&mut self, requests: &mut [Request]) -> Result<Vec<Result<(), KernelError>>, Error> {
        self.request_reading(requests, |_| {})
    }

    /// The same for requests with questions among them: `read` is given each answer.
    pub(crate) fn request_reading(
        &mut self,
        requests: &mut [Request],
        mut read: impl FnMut(&Message<'_>),
    ) -> Result<Vec<Result<(), KernelError>>, Error> {
        let mut verdicts = Vec::with_capacity(requests.len());
        for batch in requests.chunks_mut(BATCH) {
            batch.last_mut().into_iter().for_each(Request::acknowledge);
            let first = self.send(batch)?;
            self.acknowledgements(first, batch.len(), &mut verdicts, &mut read)?;
        }
        Ok(verdicts)
    }

    /// Reads until the last of `count` requests from sequence number `first` on has its verdict. The kernel answers in
    /// order: a request that it refused always, one that it carried out only where that was asked for, of the last one.
    fn acknowledgements(
        &mut self,
        first: u32,
        count: usize,
        verdicts: &mut Vec<Result<(), KernelError>>,
        read: &mut impl FnMut(&Message<'_>),
    ) -> Result<(), Error> {
        let begun = verdicts.len();
        verdicts.resize(begun + count, Ok(()));
        let mut answered = 0;
        let ended = self.wire.answers(first, SINGLE, |index, message| {
            if message.kind != NLMSG_ERROR {
                read(message);
                return Continue(());
            }
            if !(answered..count).contains(&index) {
                return Break(());
            }
            verdicts[begun + index] = message.verdict();
            answered = index + 1;
            if answered == count { Break(()) } else { Continue(()) }
        });
        ended.map_err(Error::Receive)?;
        if answered == count { Ok(()) } else { Err(Error::Unanswered { answered, requests: count }) }
    }

    /// Asks for one object: the answer, or the kernel's refusal (`ENODEV`, `ENETUNREACH`, …).
    pub fn get(&mut self, mut request: Request) -> Result<Result<RouteNetlinkMessage, KernelError>, Error> {
        let sequence = self.send(std::slice::from_mut(&mut request))?;
        match self.answer(sequence, |message| tolerant::decode(message.bytes))? {
            Ok(decoded) => Ok(Ok(decoded?)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Asks a question for which the library has no type: a message of this kind, its fixed structure and its attributes.
    pub(crate) fn ask<T>(
        &mut self,
        kind: u16,
        fixed: &[u8],
        attributes: &[Attribute],
        read: impl Fn(&Message<'_>) -> T,
    ) -> Result<Result<T, KernelError>, Error> {
        let (sequence, mut datagram) = (self.wire.next_sequence(), Vec::new());
        write(&mut datagram, kind, NLM_F_REQUEST, sequence, fixed, attributes);
        self.transmit(&datagram, 1)?;
        self.answer(sequence, read)
    }

    /// The answer to the question with this sequence number.
    fn answer<T>(&mut self, sequence: u32, read: impl Fn(&Message<'_>) -> T) -> Result<Result<T, KernelError>, Error> {
        let answer = self.wire.answers(sequence, SINGLE, |index, message| match (index, message.kind) {
            (0, NLMSG_ERROR) => message.verdict().err().map_or(Continue(()), |refused| Break(Err(refused))),
            (0, _) => Break(Ok(read(message))),
            _ => Continue(()),
        });
        answer.map_err(Error::Receive)?.ok_or(Error::Unanswered { answered: 0, requests: 1 })
    }

    /// Asks many questions, each for one object, in few datagrams; `take` is given the answers in their order.
    pub(crate) fn ask_each(
        &mut self,
        questions: &mut [Request],
        mut take: impl FnMut(Result<&Message<'_>, KernelError>),
    ) -> Result<(), Error> {
        for batch in questions.chunks_mut(QUESTIONS) {
            let (first, count) = (self.send(batch)?, batch.len());
            let mut answered = 0;
            let ended = self.wire.answers(first, SINGLE, |index, message| {
                if index == answered {
                    take(match message.kind {
                        NLMSG_ERROR => Err(message.verdict().err().unwrap_or_else(KernelError::no_answer)),
                        _ => Ok(message),
                    });
                    answered += 1;
                }
                if answered == count { Break(()) } else { Continue(()) }
            });
            ended.map_err(Error::Receive)?.ok_or(Error::Unanswered { answered, requests: count })?;
        }
        Ok(())
    }

    /// Asks for all objects that match and keeps what `keep` makes of them. Asked again when the table changed meanwhile.
    /// An object that cannot be read is left out and counted: one odd object hides no other.
    pub fn dump<T>(
        &mut self,
        request: Request,
        keep: impl Fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.dump_each(request, |message| tolerant::decode(message.bytes).map(&keep))
    }

    /// The same, with the objects as bytes: for attributes that the library's decoder is not given.
    pub(crate) fn dump_raw<T>(
        &mut self,
        request: Request,
        keep: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.dump_each(request, |message| Ok(keep(message)))
    }

    fn dump_each<T>(
        &mut self,
        mut request: Request,
        keep: impl Fn(&Message<'_>) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, Error> {
        if !self.asked_strict {
            // Without it the dump is longer, and no other: what was not asked for is left out here.
            self.set_strict()?;
        }
        let selection = Selection::of(&request);
        let dumped = self.wire.dump(
            |sequence, datagram| request.write(sequence, datagram),
            |object| if selection.selects(object) { keep(object) } else { Ok(None) },
        )?;
        self.unreadable += dumped.unreadable;
        Ok(dumped.objects)
    }

    /// Has the kernel select the objects of dumps itself; false where it cannot.
    pub(crate) fn set_strict(&mut self) -> Result<bool, Error> {
        let selects = self.wire.set_strict().map_err(Error::Open)?;
        self.asked_strict = true;
        Ok(selects)
    }

    /// Sends `requests` in one datagram; returns the first one's sequence number.
    fn send(&mut self, requests: &mut [Request]) -> Result<u32, Error> {
        let mut datagram = Vec::with_capacity(requests.len() * 160);
        let mut first = None;
        for request in requests.iter_mut() {
            let sequence = self.wire.next_sequence();
            first.get_or_insert(sequence);
            request.write(sequence, &mut datagram);
        }
        self.transmit(&datagram, requests.len())?;
        Ok(first.unwrap_or_default())
    }

    fn transmit(&self, datagram: &[u8], requests: usize) -> Result<(), Error> {
        self.wire.send(datagram).map_err(|source| Error::Send { requests, source })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

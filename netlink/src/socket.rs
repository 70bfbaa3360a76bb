//! A route socket: many requests in one datagram, one verdict for each, no waiting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::MSG_DONTWAIT;
use rtnetlink::packet_core::{DecodeError, Emitable, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket as Handle, protocols::NETLINK_ROUTE};

use crate::netns::netns_of;
use crate::reply::{HEADER, KernelError, NLMSG_DONE, NLMSG_ERROR, Raw, messages};
use crate::request::Request;
use crate::tolerant;

/// Requests in one datagram: their acknowledgements must fit the default receive buffer (212,992 bytes) together.
const BATCH: usize = 128;

/// Questions in one datagram: each answer is a datagram of its own in the receive buffer, 3 kB of it at most.
const QUESTIONS: usize = 64;

/// How often a dump is taken again because the kernel's table changed under it.
const DUMP_TRIES: usize = 10;

/// The largest datagram that the kernel sends to a reader of a dump who offers as much.
const DUMPED: usize = 32 * 1024;

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

/// A route netlink socket. It belongs to the network namespace in which it was opened, for life.
pub struct Socket {
    handle: Handle,
    sequence: u32,
    /// Where answers are read; allocated with the first one.
    buffer: Vec<u8>,
    /// The kernel takes a dump's filters at their word (`NETLINK_GET_STRICT_CHK`).
    strict: bool,
    unreadable: u64,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        let handle = Handle::new(NETLINK_ROUTE).map_err(Error::Open)?;
        handle.set_ext_ack(true).map_err(Error::Open)?;
        handle.set_cap_ack(true).map_err(Error::Open)?;
        Ok(Self { handle, sequence: 0, buffer: Vec::new(), strict: false, unreadable: 0 })
    }

    /// The network namespace that the socket belongs to, opened.
    pub fn netns(&self) -> io::Result<OwnedFd> {
        netns_of(self)
    }

    /// How many objects of dumps could not be read and were left out, since this was last asked.
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
        mut read: impl FnMut(&Raw<'_>),
    ) -> Result<Vec<Result<(), KernelError>>, Error> {
        let mut verdicts = Vec::with_capacity(requests.len());
        for batch in requests.chunks_mut(BATCH) {
            batch.last_mut().into_iter().for_each(Request::acknowledge);
            let first = self.send(batch)?;
            self.acknowledgements(first, batch.len(), &mut verdicts, &mut read)?;
        }
        Ok(verdicts)
    }

    /// Asks for one object: the answer, or the kernel's refusal (`ENODEV`, `ENETUNREACH`, …).
    pub fn get(&mut self, mut request: Request) -> Result<Result<RouteNetlinkMessage, KernelError>, Error> {
        let sequence = self.send(std::slice::from_mut(&mut request))?;
        match self.answer(sequence)? {
            Ok(raw) => Ok(Ok(tolerant::decode(raw.bytes)?)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Asks a question that the library has no words for: a message of this kind and with this body.
    pub(crate) fn ask(&mut self, kind: u16, body: &[u8]) -> Result<Result<Raw<'_>, KernelError>, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        header.message_type = kind;
        header.flags = NLM_F_REQUEST;
        header.sequence_number = self.sequence;
        let mut datagram = vec![0; HEADER];
        header.emit(&mut datagram);
        datagram.extend(body);
        self.transmit(&datagram, 1)?;
        self.answer(self.sequence)
    }

    /// Asks many questions, each for one object, in few datagrams; `take` is given the answers in their order.
    pub(crate) fn ask_each(
        &mut self,
        questions: &mut [Request],
        mut take: impl FnMut(Result<&Raw<'_>, KernelError>),
    ) -> Result<(), Error> {
        for batch in questions.chunks_mut(QUESTIONS) {
            let first = self.send(batch)?;
            let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let mut answered = 0;
            while answered < count {
                self.receive(SINGLE, usize::try_from(answered).unwrap_or(usize::MAX), batch.len())?;
                for raw in messages(&self.buffer) {
                    if raw.sequence.wrapping_sub(first) != answered {
                        continue;
                    }
                    match raw.kind {
                        NLMSG_ERROR => take(Err(raw.verdict().err().unwrap_or_else(KernelError::no_answer))),
                        _ => take(Ok(&raw)),
                    }
                    answered += 1;
                }
            }
        }
        Ok(())
    }

    /// The answer to the one question that was asked last.
    fn answer(&mut self, sequence: u32) -> Result<Result<Raw<'_>, KernelError>, Error> {
        self.receive(SINGLE, 0, 1)?;
        for raw in messages(&self.buffer).filter(|raw| raw.sequence == sequence) {
            match raw.kind {
                NLMSG_ERROR => {
                    if let Err(refused) = raw.verdict() {
                        return Ok(Err(refused));
                    }
                }
                _ => return Ok(Ok(raw)),
            }
        }
        Err(Error::Unanswered { answered: 0, requests: 1 })
    }

    /// Asks for all objects that match and keeps what `keep` makes of them. Taken again when the table changed meanwhile.
    /// An object that cannot be read is left out and counted: one odd object hides no other.
    pub fn dump<T>(
        &mut self,
        request: Request,
        keep: impl Fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.dump_each(request, |raw| tolerant::decode(raw.bytes).map(&keep))
    }

    /// The same, with the objects as bytes: for attributes that the library's decoder is not given.
    pub(crate) fn dump_raw<T>(
        &mut self,
        request: Request,
        keep: impl Fn(&Raw<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.dump_each(request, |raw| Ok(keep(raw)))
    }

    fn dump_each<T>(
        &mut self,
        request: Request,
        keep: impl Fn(&Raw<'_>) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, Error> {
        if !self.strict {
            self.handle.set_netlink_get_strict_chk(true).map_err(Error::Open)?;
            self.strict = true;
        }
        for _ in 0..DUMP_TRIES {
            if let Some(objects) = self.dump_once(request.clone(), &keep)? {
                return Ok(objects);
            }
        }
        Err(Error::Interrupted)
    }

    /// `None`: interrupted.
    fn dump_once<T>(
        &mut self,
        mut request: Request,
        keep: impl Fn(&Raw<'_>) -> Result<Option<T>, DecodeError>,
    ) -> Result<Option<Vec<T>>, Error> {
        let sequence = self.send(std::slice::from_mut(&mut request))?;
        let mut objects = Vec::new();
        let (mut whole, mut unreadable) = (true, 0);
        loop {
            self.receive(DUMPED, 0, 1)?;
            for raw in messages(&self.buffer).filter(|raw| raw.sequence == sequence) {
                whole &= raw.flags & NLM_F_DUMP_INTR == 0;
                match raw.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        raw.verdict()?;
                        self.unreadable += if whole { unreadable } else { 0 };
                        return Ok(whole.then_some(objects));
                    }
                    _ => match keep(&raw) {
                        Ok(object) => objects.extend(object),
                        Err(_) => unreadable += 1,
                    },
                }
            }
        }
    }

    /// Sends `requests` in one datagram; returns the first one's sequence number.
    fn send(&mut self, requests: &mut [Request]) -> Result<u32, Error> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(requests.len() * 160);
        for request in requests.iter_mut() {
            self.sequence = self.sequence.wrapping_add(1);
            request.write(self.sequence, &mut datagram);
        }
        self.transmit(&datagram, requests.len())?;
        Ok(first)
    }

    fn transmit(&self, datagram: &[u8], requests: usize) -> Result<(), Error> {
        let sent = retry(|| self.handle.send(datagram, 0));
        sent.map(drop).map_err(|source| Error::Send { requests, source })
    }

    /// Reads until the last of `count` requests from sequence number `first` on has its verdict. The kernel answers in
    /// order, a refused request always, and one that it obeyed only where that was asked for: of the last one.
    fn acknowledgements(
        &mut self,
        first: u32,
        count: usize,
        verdicts: &mut Vec<Result<(), KernelError>>,
        read: &mut impl FnMut(&Raw<'_>),
    ) -> Result<(), Error> {
        let begun = verdicts.len();
        verdicts.resize(begun + count, Ok(()));
        let mut answered = 0;
        while answered < count {
            self.receive(SINGLE, answered, count)?;
            for raw in messages(&self.buffer) {
                if raw.kind != NLMSG_ERROR {
                    read(&raw);
                    continue;
                }
                let index = usize::try_from(raw.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if !(answered..count).contains(&index) {
                    return Err(Error::Unanswered { answered, requests: count });
                }
                verdicts[begun + index] = raw.verdict();
                answered = index + 1;
            }
        }
        Ok(())
    }

    /// Reads one datagram into the buffer. The kernel works while we send: an answer that is not there will never come.
    fn receive(&mut self, most: usize, answered: usize, requests: usize) -> Result<(), Error> {
        self.buffer.clear();
        self.buffer.reserve(most);
        match retry(|| self.handle.recv(&mut self.buffer, MSG_DONTWAIT)) {
            Ok(_) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::WouldBlock => Err(Error::Unanswered { answered, requests }),
            Err(source) => Err(Error::Receive(source)),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(source) if source.raw_os_error() == Some(Errno::EINTR as i32) => {}
            done => return done,
        }
    }
}

//! Dumps: all objects of a kind, in as many datagrams as it takes. The kernel marks it when a table changed while it was read
//! (`NLM_F_DUMP_INTR`); such a dump may lack objects, so it is made again.

use std::io;
use std::ops::ControlFlow;

use nix::errno::Errno;

use super::Wire;
use super::message::{KernelError, Message, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR};

/// How often a dump is tried that the kernel's own changes interrupt.
pub const DUMP_TRIES: usize = 16;

/// The largest datagram that the kernel sends to a reader of a dump who offers as much, bytes.
const DATAGRAM: usize = 32 * 1024;

/// Why there is no dump.
#[derive(Debug)]
pub enum DumpError {
    /// The request was not sent.
    Send(io::Error),
    /// The answers were not received.
    Receive(io::Error),
    /// The answers ended before the dump did.
    Unanswered,
    /// The kernel refused it.
    Refused(KernelError),
    /// It was interrupted in each of [`DUMP_TRIES`].
    Interrupted,
}

/// A whole dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped<T> {
    /// What was kept of the objects, in the kernel's order.
    pub objects: Vec<T>,
    /// How many objects could not be read and were left out: one odd object hides no other.
    pub unreadable: u64,
}

impl Wire {
    /// Asks for all objects that match. `request` appends the request under the sequence number that it is given; `read` is
    /// given each object, and keeps it (`Some`), leaves it out (`None`) or cannot read it (`Err`).
    pub fn dump<T, E>(
        &mut self,
        mut request: impl FnMut(u32, &mut Vec<u8>),
        mut read: impl FnMut(&Message<'_>) -> Result<Option<T>, E>,
    ) -> Result<Dumped<T>, DumpError> {
        for _ in 0..DUMP_TRIES {
            let (sequence, mut datagram) = (self.next_sequence(), Vec::new());
            request(sequence, &mut datagram);
            self.send(&datagram).map_err(DumpError::Send)?;
            let mut part = Part::new();
            let end = self.answers(sequence, DATAGRAM, |index, message| match index {
                0 => part.take(message, &mut read),
                _ => ControlFlow::Continue(()),
            });
            match end.map_err(DumpError::Receive)?.ok_or(DumpError::Unanswered)? {
                Ok(()) if part.whole => return Ok(part.dumped),
                Ok(()) => {}
                Err(refused) if refused.errno == Errno::EINTR => {}
                Err(refused) => return Err(DumpError::Refused(refused)),
            }
        }
        Err(DumpError::Interrupted)
    }
}

/// What was read of a dump so far.
pub(super) struct Part<T> {
    pub(super) dumped: Dumped<T>,
    /// Nothing has changed meanwhile.
    whole: bool,
}

impl<T> Part<T> {
    pub(super) fn new() -> Self {
        Self { dumped: Dumped { objects: Vec::new(), unreadable: 0 }, whole: true }
    }

    /// Takes the next message; breaks with the kernel's verdict at the end of the dump.
    pub(super) fn take<E>(
        &mut self,
        message: &Message<'_>,
        read: &mut impl FnMut(&Message<'_>) -> Result<Option<T>, E>,
    ) -> ControlFlow<Result<(), KernelError>> {
        self.whole &= message.flags & NLM_F_DUMP_INTR == 0;
        if let NLMSG_ERROR | NLMSG_DONE = message.kind {
            return ControlFlow::Break(message.verdict());
        }
        match read(message) {
            Ok(object) => self.dumped.objects.extend(object),
            Err(_) => self.dumped.unreadable += 1,
        }
        ControlFlow::Continue(())
    }
}

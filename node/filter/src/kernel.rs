//! Carries out what the machine asks of the kernel, over one nftables socket. Decides nothing.

use hostport::{Ports, Restored};
use nftables::{Error, Nfnetlink, Shape, Table, ensure_in, leave};

use super::forward::{self, ForwardDrop};
use super::keep::interface::{Answer, Request};
use super::{Egress, Forwarded, arp_guard, masquerade, source_rule};

/// The socket for requests; none before the first one, and after it failed.
pub(super) struct Kernel {
    ports: Ports,
    socket: Option<Nfnetlink>,
    /// How the masquerade table was put last; one that had to be split is not tried as a whole again.
    shape: Shape,
}

impl Kernel {
    pub(super) fn new(ports: Ports) -> Self {
        Self { ports, socket: None, shape: Shape::Whole }
    }

    /// The port by which events say that the change was this agent's.
    pub(super) fn port(&self) -> Option<u32> {
        self.socket.as_ref().map(Nfnetlink::port)
    }

    /// Carries out a request that concerns rules; `None` for one that concerns the event socket.
    pub(super) fn carry_out(&mut self, request: &Request) -> Option<Answer> {
        Some(match request {
            Request::Listen => return None,
            Request::Masquerade(egress) => put(self.masquerade(egress), Ok(false)),
            // One table that the kernel refuses does not stop the other.
            Request::Source => put(self.put(&source_rule::table()), self.put(&arp_guard::table())),
            Request::Ports => match self.ports.restore() {
                Ok(restored) => Answer::Ported { restored, failed: None },
                Err(error) => Answer::Ported { restored: Restored::default(), failed: Some(error.to_string()) },
            },
            Request::Look { accepts, forwarded } => {
                Answer::Looked(self.look(*accepts, forwarded).map_err(|error| error.to_string()))
            }
            Request::Count => Answer::Counted(self.with_socket(source_rule::drops).ok()),
        })
    }

    fn masquerade(&mut self, egress: &Egress) -> Result<bool, Error> {
        let first = self.shape;
        match egress {
            Egress::Unknown => Ok(false),
            Egress::Off => self.with_socket(|socket| {
                Shape::BOTH.iter().try_fold(false, |removed, shape| {
                    Ok(!leave(socket, masquerade::TABLE, *shape)?.is_empty() || removed)
                })
            }),
            Egress::On(sides) => {
                let (changed, shape) = self.with_socket(|socket| {
                    let (changed, shape) = ensure_in(socket, &masquerade::table(sides), first)?;
                    let left = leave(socket, masquerade::TABLE, shape.other())?;
                    Ok((changed || !left.is_empty(), shape))
                })?;
                self.shape = shape;
                Ok(changed)
            }
        }
    }

    fn put(&mut self, table: &Table) -> Result<bool, Error> {
        self.with_socket(|socket| nftables::ensure(socket, table))
    }

    fn look(&mut self, accepts: bool, forwarded: &Forwarded) -> Result<Vec<ForwardDrop>, Error> {
        self.with_socket(|socket| {
            let answered = if accepts { forward::accept(socket, &forwarded.own) } else { forward::withdraw(socket) };
            match answered {
                Ok(true) if accepts => tracing::info!(
                    "rules that accept traffic of pods were added to forward chains whose policy is drop"
                ),
                Ok(_) => {}
                // The checks say so.
                Err(error) if error.is_without_tables() => {}
                Err(error) => tracing::warn!(%error, "the forward chains of other programs cannot be changed"),
            }
            // The checks of the whole node know of bridges.
            forward::look(socket, &forwarded.packets, &[])
        })
    }

    /// A socket that failed is opened again for the next request.
    fn with_socket<T>(&mut self, ask: impl FnOnce(&mut Nfnetlink) -> Result<T, Error>) -> Result<T, Error> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => Nfnetlink::requests()?,
        };
        let answer = ask(&mut socket);
        if !matches!(answer, Err(Error::Send(_) | Error::Receive(_))) {
            self.socket = Some(socket);
        }
        answer
    }
}

fn put(one: Result<bool, Error>, other: Result<bool, Error>) -> Answer {
    let changed = matches!(one, Ok(true)) || matches!(other, Ok(true));
    Answer::Put { changed, failed: one.and(other).err().map(|error| error.to_string()) }
}

//! UDP sockets of a pod: one for each of its addresses, or of another's that it takes.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use podlan_conformance::lab::{Error, Pod};

/// The port of the receivers.
pub(crate) const PORT: u16 = 7778;

/// Gives a pod these addresses too.
pub(crate) fn steal(thief: &Pod<'_>, addresses: &[IpAddr]) -> Result<(), Error> {
    for address in addresses {
        let own = format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
        thief.command("ip").args(["addr", "add", &own, "dev", "eth0", "nodad"]).succeeds()?;
    }
    Ok(())
}

/// Sockets of both families.
pub(crate) struct Sockets(Vec<UdpSocket>);

impl Sockets {
    pub(crate) fn bind(pod: &Pod<'_>, at: &[IpAddr], port: u16) -> Result<Self, Error> {
        let sockets = || at.iter().map(|at| UdpSocket::bind((*at, port))).collect::<Result<_, _>>();
        let bound = pod.place().enter(sockets)?;
        bound.map(Self).map_err(Error::system(format!("bind in {}", pod.name())))
    }

    /// Sends one datagram in each family; a full queue, or an error of the filter, is no failure of the test.
    pub(crate) fn send(&self, to: &[IpAddr]) -> usize {
        let sent = self.0.iter().zip(to).filter(|(socket, to)| socket.send_to(b"x", (**to, PORT)).is_ok());
        sent.count()
    }

    /// The senders of all datagrams that have arrived.
    pub(crate) fn received(&self) -> Result<Vec<SocketAddr>, Error> {
        let mut received = Vec::new();
        for socket in &self.0 {
            socket.set_nonblocking(true).map_err(Error::system("listen"))?;
            loop {
                match socket.recv_from(&mut [0; 16]) {
                    Ok((_, from)) => received.push(from),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(Error::system("receive")(error)),
                }
            }
        }
        Ok(received)
    }
}

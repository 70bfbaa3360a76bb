//! The paths of packets between a pod and its partners: each direction, each family, one datagram at a time.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::lab::{Error, Place};

/// A packet that has not arrived by then is lost. It passes in a millisecond, on a machine whose processors are stolen or
/// busy in some hundred; and what only arrives because the kernel repeats a solicitation after a second is lost, too.
const LOST: Duration = Duration::from_millis(900);

/// A peer of a pod: its node, or another pod. Its sockets are open before the pod's are.
#[derive(Debug)]
pub struct Partner {
    name: &'static str,
    sockets: Vec<UdpSocket>,
}

impl Partner {
    /// Opens the sockets of a partner in `place` at these addresses.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(name: &'static str, place: &Place, addresses: &[IpAddr]) -> Result<Self, Error> {
        let sockets = place.enter(|| sockets(addresses))?;
        Ok(Self { name, sockets: sockets.map_err(Error::system(format!("open the sockets of the {name}")))? })
    }
}

/// One direction.
#[derive(Clone, Copy, Debug)]
pub struct Way<'s> {
    v4: bool,
    from: (&'static str, &'s UdpSocket),
    to: (&'static str, &'s UdpSocket),
}

impl std::fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} to {}", if self.v4 { "IPv4" } else { "IPv6" }, self.from.0, self.to.0)
    }
}

impl Way<'_> {
    /// Sends one datagram; returns whether it arrives. A datagram that the kernel refuses to send does not arrive.
    ///
    /// # Errors
    /// When a socket has no address.
    pub fn passes(&self) -> io::Result<bool> {
        let (source, destination) = (self.from.1.local_addr()?, self.to.1.local_addr()?);
        if self.from.1.send_to(b"here", destination).is_err() {
            return Ok(false);
        }
        loop {
            match self.to.1.recv_from(&mut [0; 8]) {
                // A datagram that was late for its own turn is not counted.
                Ok((_, seen)) if seen.port() == source.port() => return Ok(true),
                Ok(_) => {}
                Err(_) => return Ok(false),
            }
        }
    }
}

/// All paths between a pod with these sockets and its partners.
///
/// # Errors
/// When a socket has no address.
pub fn ways<'s>(own: &'s [UdpSocket], partners: &'s [Partner]) -> io::Result<Vec<Way<'s>>> {
    let mut ways = Vec::new();
    for pod in own {
        let v4 = pod.local_addr()?.is_ipv4();
        for partner in partners {
            for theirs in &partner.sockets {
                if theirs.local_addr()?.is_ipv4() == v4 {
                    let (here, there) = (("pod", pod), (partner.name, theirs));
                    ways.extend([Way { v4, from: there, to: here }, Way { v4, from: here, to: there }]);
                }
            }
        }
    }
    Ok(ways)
}

/// A socket at each address, in the calling thread's network namespace.
///
/// # Errors
/// The kernel's error.
pub fn sockets(addresses: &[IpAddr]) -> io::Result<Vec<UdpSocket>> {
    let open = |&ip: &IpAddr| -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0))?;
        socket.set_read_timeout(Some(LOST))?;
        Ok(socket)
    };
    addresses.iter().map(open).collect()
}

/// The same in another network namespace; the thread enters it and returns.
///
/// # Errors
/// The kernel's error.
pub fn sockets_in(netns: &File, addresses: &[IpAddr]) -> io::Result<Vec<UdpSocket>> {
    let here = File::open("/proc/thread-self/ns/net")?;
    setns(netns, CloneFlags::CLONE_NEWNET)?;
    let opened = sockets(addresses);
    setns(&here, CloneFlags::CLONE_NEWNET)?;
    opened
}

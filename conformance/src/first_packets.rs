//! What a runtime finds that uses a pod as soon as its ADD has ended: is the link up, and does the very first packet of each
//! direction arrive. Owns the question; who made the link, and how fast, the caller knows.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::lab::{Error, Place};

/// A packet that has not come by then is lost: it would take a millisecond on a busy machine.
const LOST: Duration = Duration::from_millis(300);

/// Somebody who talks with the new pod: the node, or an older pod. Its sockets wait, so that nothing but the pod is new.
#[derive(Debug)]
pub struct Partner {
    name: &'static str,
    sockets: Vec<UdpSocket>,
}

impl Partner {
    /// Opens the sockets of a partner that lives in `place` at these addresses.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(name: &'static str, place: &Place, addresses: &[IpAddr]) -> Result<Self, Error> {
        let sockets = place.enter(|| addresses.iter().map(|&ip| socket(ip)).collect::<io::Result<_>>())?;
        Ok(Self { name, sockets: sockets.map_err(Error::system(format!("open the sockets of the {name}")))? })
    }

    fn of_family(&self, address: IpAddr) -> Option<&UdpSocket> {
        let same = |socket: &&UdpSocket| socket.local_addr().is_ok_and(|own| own.is_ipv4() == address.is_ipv4());
        self.sockets.iter().find(same)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The link on the node is operationally up.
    pub up: bool,
    /// The directions whose first packet was lost: `IPv6 node to pod`.
    pub lost: Vec<String>,
    /// The directions that were tried.
    pub tried: usize,
}

/// Looks at a pod whose ADD has just ended. To be called in the node's namespaces, on a thread of its own; `netns` is the
/// pod's, `link` its link on the node. `first` chooses whose packet is the very first that the link sees.
///
/// # Errors
/// The system's; a packet that the kernel refuses to send is a lost one.
pub fn look(link: &str, netns: &File, addresses: &[IpAddr], partners: &[Partner], first: usize) -> io::Result<Found> {
    // The file, not RTM_GETLINK: that would have the kernel do first what is overdue.
    let state = fs::read_to_string(format!("/sys/class/net/{link}/operstate"))?;
    let node = File::open("/proc/thread-self/ns/net")?;
    setns(netns, CloneFlags::CLONE_NEWNET)?;
    let own = addresses.iter().map(|&ip| socket(ip)).collect::<io::Result<Vec<_>>>();
    setns(&node, CloneFlags::CLONE_NEWNET)?;
    let own = own?;
    let mut ways = Vec::new();
    for (own, ip) in own.iter().zip(addresses) {
        for partner in partners {
            let Some(theirs) = partner.of_family(*ip) else { continue };
            let (family, name) = (if ip.is_ipv4() { "IPv4" } else { "IPv6" }, partner.name);
            ways.push((format!("{family} {name} to pod"), theirs, own));
            ways.push((format!("{family} pod to {name}"), own, theirs));
        }
    }
    let count = ways.len().max(1);
    ways.rotate_left(first % count);
    let mut found = Found { up: state.trim_end() == "up", lost: Vec::new(), tried: ways.len() };
    for (way, from, to) in ways {
        if !arrives(from, to)? {
            found.lost.push(way);
        }
    }
    Ok(found)
}

fn socket(ip: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(ip, 0))?;
    socket.set_read_timeout(Some(LOST))?;
    Ok(socket)
}

/// Whether one datagram arrives.
fn arrives(from: &UdpSocket, to: &UdpSocket) -> io::Result<bool> {
    let (source, destination) = (from.local_addr()?, to.local_addr()?);
    if from.send_to(b"first", destination).is_err() {
        return Ok(false);
    }
    loop {
        match to.recv_from(&mut [0; 8]) {
            // One that was sent before, and came too late for its own turn, is from elsewhere.
            Ok((_, seen)) if seen.port() == source.port() => return Ok(true),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(_) => return Ok(false),
        }
    }
}

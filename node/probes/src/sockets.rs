//! The UDP sockets of the probes: those that answer, on the port of the probes, and those that ask, on new ports each round.
//! They read and write; what it means is the machine's.

use std::collections::VecDeque;
use std::io;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, sock_extended_err};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::sockopt::{IpTransparent, Ipv4RecvErr, Ipv4Tos, Ipv6RecvErr, Ipv6TClass};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, bind,
    recvmsg, setsockopt, socket,
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};

use crate::endpoint::CLASS;
use crate::machine::{Outgoing, Place, Refusal};
use crate::wire::{Datagram, HEAD, LONGEST};

/// How long the ports of a round are read after the next round began: longer than an answer is waited for.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// So many datagrams of one socket are read before the next one's.
const TURN: usize = 256;

/// Something that was read.
pub(super) enum Read<'a> {
    Datagram { place: Place, from: SocketAddr, bytes: &'a [u8] },
    Refused { place: Place, to: IpAddr, nonce: Option<u64>, refusal: Refusal },
}

/// A socket, and what it is for.
struct Probe {
    socket: UdpSocket,
    place: Place,
    address: IpAddr,
}

/// All of them.
pub(super) struct Sockets {
    epoll: Epoll,
    answering: Vec<Probe>,
    asking: Vec<Probe>,
    /// Those of earlier rounds, with the time until which they are read.
    former: VecDeque<(Instant, Vec<Probe>)>,
    /// Sockets at addresses of peers, by which this node sends to itself.
    pretending: Vec<(IpAddr, UdpSocket)>,
    buffer: Vec<u8>,
}

impl Sockets {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            answering: Vec::new(),
            asking: Vec::new(),
            former: VecDeque::new(),
            pretending: Vec::new(),
            buffer: vec![0; LONGEST],
        })
    }

    /// What becomes readable when one of the sockets does.
    pub(super) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    /// Opens and closes the sockets that answer, so that there is one for each of these. Returns what could not be bound.
    pub(super) fn answer_at(&mut self, places: &[(Place, IpAddr)], port: u16) -> Vec<String> {
        self.answering.retain(|probe| places.contains(&(probe.place, probe.address)));
        let mut failed = Vec::new();
        for (place, address) in places {
            if !self.answering.iter().any(|probe| (probe.place, probe.address) == (*place, *address)) {
                match self.open(*place, *address, port) {
                    Ok(probe) => self.answering.push(probe),
                    Err(error) => failed.push(format!("bind UDP {}: {error}", SocketAddr::new(*address, port))),
                }
            }
        }
        failed
    }

    /// Takes new ports at each of these. Returns where none could be had.
    pub(super) fn ask_from(&mut self, places: &[(Place, IpAddr)], now: Instant) -> Vec<String> {
        let (mut opened, mut failed) = (Vec::new(), Vec::new());
        for (place, address) in places {
            match self.open(*place, *address, 0) {
                Ok(probe) => opened.push(probe),
                Err(error) => failed.push(format!("open a UDP port at {address}: {error}")),
            }
        }
        self.pretending.clear();
        let former = std::mem::replace(&mut self.asking, opened);
        self.former.push_back((now + AFTERWARDS, former));
        while self.former.front().is_some_and(|(until, _)| *until <= now) {
            self.former.pop_front();
        }
        failed
    }

    fn open(&self, place: Place, address: IpAddr, port: u16) -> io::Result<Probe> {
        let socket = open(place, address, port)?;
        let event =
            EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLERR, socket.as_raw_fd().cast_unsigned().into());
        self.epoll.add(&socket, event)?;
        Ok(Probe { socket, place, address })
    }

    /// Sends a request; an error is why this node refused it.
    pub(super) fn ask(&self, outgoing: &Outgoing, port: u16) -> Result<(), Refusal> {
        send(&self.asking, outgoing, SocketAddr::new(outgoing.to.ip(), port))
    }

    /// Sends an answer. One that cannot be sent is one that was lost.
    pub(super) fn answer(&self, outgoing: &Outgoing) {
        let _lost = send(&self.answering, outgoing, outgoing.to);
    }

    /// Sends one datagram to this node from an address that is not its own; nothing comes back for it. An error is one of the
    /// socket, not of the way.
    pub(super) fn send_as(&mut self, from: IpAddr, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let known = self.pretending.iter().position(|(address, _)| *address == from);
        let index = match known {
            Some(index) => index,
            None => {
                self.pretending.retain(|(address, _)| address.is_ipv4() != from.is_ipv4());
                self.pretending.push((from, open(Place::Probe, from, 0)?));
                self.pretending.len() - 1
            }
        };
        // What a packet filter refuses does not come in.
        let _refused = self.pretending[index].1.send_to(bytes, to);
        Ok(())
    }

    /// Gives everything that waits to `take`.
    pub(super) fn read(&mut self, mut take: impl FnMut(Read<'_>)) {
        let mut ready = [EpollEvent::empty(); 32];
        // Each is read empty below, except where more comes than can be read.
        for _ in 0..8 {
            let count = self.epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or(0);
            for event in &ready[..count] {
                let all = self.answering.iter().chain(&self.asking).chain(self.former.iter().flat_map(|(_, all)| all));
                let is = |probe: &&Probe| u64::from(probe.socket.as_raw_fd().cast_unsigned()) == event.data();
                let Some(probe) = all.into_iter().find(is) else { continue };
                read_errors(probe, &mut self.buffer, &mut take);
                for _ in 0..TURN {
                    match probe.socket.recv_from(&mut self.buffer) {
                        Ok((length, from)) => {
                            take(Read::Datagram { place: probe.place, from, bytes: &self.buffer[..length] });
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        // An error that waits stands in front of the datagrams; it is in the error queue too.
                        Err(_) => read_errors(probe, &mut self.buffer, &mut take),
                    }
                }
            }
            if count < ready.len() {
                break;
            }
        }
    }
}

fn send(from: &[Probe], outgoing: &Outgoing, to: SocketAddr) -> Result<(), Refusal> {
    let is = |probe: &&Probe| probe.place == outgoing.place && probe.address.is_ipv4() == to.is_ipv4();
    let Some(probe) = from.iter().find(is) else { return Err(Refusal::Unreachable) };
    // The first error may be one that waited, of another datagram.
    let sent = probe.socket.send_to(&outgoing.bytes, to).or_else(|_| probe.socket.send_to(&outgoing.bytes, to));
    match sent.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default())) {
        Err(Errno::EHOSTUNREACH | Errno::ENETUNREACH) => Err(Refusal::Unreachable),
        // A rule of this node's own, a full buffer: as if it was lost on the way.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn open(place: Place, address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd: OwnedFd = socket(family, SockType::Datagram, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    if place == Place::Probe {
        // The address is on no link. The kernel takes the option of IPv4 for both families.
        setsockopt(&fd, IpTransparent, &true)?;
        // By which it leaves through the link of the probes.
        match address {
            IpAddr::V4(_) => setsockopt(&fd, Ipv4Tos, &CLASS.into())?,
            IpAddr::V6(_) => setsockopt(&fd, Ipv6TClass, &CLASS.into())?,
        }
    }
    match address {
        IpAddr::V4(v4) => {
            setsockopt(&fd, Ipv4RecvErr, &true)?;
            set_ip_mtu_discover(&fd, Ipv4PathMtuDiscovery::PROBE)?;
            bind(fd.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(v4, port)))?;
        }
        IpAddr::V6(v6) => {
            setsockopt(&fd, Ipv6RecvErr, &true)?;
            set_ipv6_mtu_discover(&fd, Ipv6PathMtuDiscovery::PROBE)?;
            bind(fd.as_raw_fd(), &SockaddrIn6::from(std::net::SocketAddrV6::new(v6, port, 0, 0)))?;
        }
    }
    Ok(fd.into())
}

/// Reads the error queue: what ICMP, or this node's kernel, said of datagrams that were sent.
fn read_errors(probe: &Probe, buffer: &mut [u8], take: &mut impl FnMut(Read<'_>)) {
    for _ in 0..TURN {
        let mut control = nix::cmsg_space!(sock_extended_err, libc::sockaddr_in6);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let fd = probe.socket.as_fd().as_raw_fd();
        let Ok(message) = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), flags) else { return };
        let Some(to) = message.address.and_then(ip) else { continue };
        let Ok(errors) = message.cmsgs() else { continue };
        let mut refusal = None;
        for error in errors {
            refusal = refusal.or(match error {
                ControlMessageOwned::Ipv4RecvErr(error, _) => of_icmp(&error),
                ControlMessageOwned::Ipv6RecvErr(error, _) => of_icmp(&error),
                _ => None,
            });
        }
        let length = message.bytes;
        let Some(refusal) = refusal else { continue };
        let quoted = buffer.get(..length.max(HEAD)).and_then(Datagram::read);
        let nonce = quoted.filter(|_| length >= HEAD).map(|datagram| datagram.nonce);
        take(Read::Refused { place: probe.place, to, nonce, refusal });
    }
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// What an ICMP error says (RFC 792, RFC 4443).
fn of_icmp(error: &sock_extended_err) -> Option<Refusal> {
    const LOCAL: u8 = 1;
    const ICMP: u8 = 2;
    const ICMP6: u8 = 3;
    Some(match (error.ee_origin, error.ee_type, error.ee_code) {
        (ICMP, 3, 3) | (ICMP6, 1, 4) => Refusal::Port,
        (ICMP, 3, 4) | (ICMP6, 2, _) => Refusal::TooBig(error.ee_info),
        (ICMP, 3, 9 | 10 | 13) | (ICMP6, 1, 1 | 5 | 6) => Refusal::Prohibited,
        (ICMP, 3, _) | (ICMP6, 1, _) => Refusal::Unreachable,
        (LOCAL, ..) if error.ee_errno == libc::EMSGSIZE.cast_unsigned() => Refusal::TooBig(error.ee_info),
        (LOCAL, ..) => Refusal::Unreachable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_asks_from_another_port_and_takes_in_late_answers_to_the_one_before() {
        let node: IpAddr = [127, 0, 0, 1].into();
        let mut sockets = Sockets::new().unwrap();
        let port = |sockets: &Sockets| sockets.asking[0].socket.local_addr().unwrap().port();
        let now = Instant::now();
        let mut ports = Vec::new();
        for round in 0..20 {
            assert!(sockets.ask_from(&[(Place::Node, node)], now + Duration::from_secs(3) * round).is_empty());
            ports.push(port(&sockets));
        }
        assert!(ports.windows(2).all(|two| two[0] != two[1]), "{ports:?}");
        let late = UdpSocket::bind((node, 0)).unwrap();
        late.send_to(b"late", (node, ports[18])).unwrap();
        let mut came = 0;
        for _ in 0..1000 {
            sockets.read(|_| came += 1);
        }
        assert_eq!(came, 1);
    }
}

//! Sockets of every kind, with deadlines, as types of the standard library.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect, listen, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::{Protocol, patience};

/// The unspecified address of a family.
pub(super) fn any(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// A new socket. An IPv6 socket accepts IPv6 only.
fn open(v6: bool, kind: SockType, protocol: Option<SockProtocol>) -> io::Result<OwnedFd> {
    let family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
    if v6 && kind != SockType::Raw {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    Ok(socket)
}

/// A server's TCP socket.
pub(super) fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(at.is_ipv6(), SockType::Stream, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    listen(&socket, Backlog::new(64)?)?;
    Ok(socket.into())
}

/// A UDP socket bound to `at`.
pub(super) fn datagrams(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(at.is_ipv6(), SockType::Datagram, None)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    Ok(socket.into())
}

/// A raw socket that sends and receives ICMP of one family, at the address `at`.
pub(super) fn icmp(at: IpAddr) -> io::Result<UdpSocket> {
    let protocol = if at.is_ipv6() { SockProtocol::IcmpV6 } else { SockProtocol::Icmp };
    let socket = open(at.is_ipv6(), SockType::Raw, Some(protocol))?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(at, 0)))?;
    Ok(socket.into())
}

/// A TCP connection to `to`, from `from` where that is given; each step has the deadline [`patience`].
pub(super) fn connection(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = open(to.is_ipv6(), SockType::Stream, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &time(patience()))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &time(patience()))?;
    if let Some(from) = from {
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    }
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(socket.into())
}

/// Tries to bind a port, and closes the socket.
///
/// # Errors
/// The kernel's error, `EADDRINUSE` when the port is in use.
pub fn try_bind(protocol: Protocol, at: SocketAddr) -> io::Result<()> {
    match protocol {
        Protocol::Tcp => listener(at).map(drop),
        Protocol::Udp => datagrams(at).map(drop),
        Protocol::Icmp => icmp(at.ip()).map(drop),
    }
}

fn time(duration: Duration) -> TimeVal {
    TimeVal::new(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), duration.subsec_micros().into())
}

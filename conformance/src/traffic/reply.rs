//! UDP answers sent from the address that the client sent to. A host with several addresses would otherwise answer from
//! the one that its route to the client prefers, and the client would not recognise the answer.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};

/// Asks the kernel to report the destination address of each datagram.
pub(super) fn prepare(socket: &UdpSocket, v6: bool) -> nix::Result<()> {
    match v6 {
        false => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
        true => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
    }
}

/// Waits for one datagram and answers it with `answer` of the client's address.
pub(super) fn once(socket: &UdpSocket, answer: impl FnOnce(IpAddr) -> String) -> io::Result<()> {
    let mut bytes = [0; 2048];
    let mut data = [IoSliceMut::new(&mut bytes)];
    let mut control = nix::cmsg_space!(in6_pktinfo, in_pktinfo);
    let fd = socket.as_raw_fd();
    let received = recvmsg::<SockaddrStorage>(fd, &mut data, Some(&mut control), MsgFlags::empty())?;
    let Some(client) = received.address.as_ref().and_then(address) else { return Ok(()) };
    let answer = answer(client.ip());
    let data = [IoSlice::new(answer.as_bytes())];
    let to = SockaddrStorage::from(client);
    for message in received.cmsgs()? {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(mut asked) => {
                asked.ipi_ifindex = 0;
                sendmsg(fd, &data, &[ControlMessage::Ipv4PacketInfo(&asked)], MsgFlags::empty(), Some(&to))?;
            }
            ControlMessageOwned::Ipv6PacketInfo(mut asked) => {
                asked.ipi6_ifindex = 0;
                sendmsg(fd, &data, &[ControlMessage::Ipv6PacketInfo(&asked)], MsgFlags::empty(), Some(&to))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::new(address.ip().into(), address.port()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::new(address.ip().into(), address.port())))
}

//! The frames that a pod can send when it writes them itself (`AF_PACKET`, with `CAP_NET_RAW` in its own namespace).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Place};
use smoltcp::phy::{ChecksumCapabilities, Device, Medium, RawSocket, RxToken, TxToken};
use smoltcp::time;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, NdiscRepr, UdpPacket, UdpRepr,
};

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;

/// The MACs of both ends of a link, as seen from one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) own: EthernetAddress,
    pub(super) far: EthernetAddress,
}

/// A datagram with any source.
pub(super) fn udp(ends: Ends, from: SocketAddr, to: SocketAddr, text: &str) -> Vec<u8> {
    let header = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let mut datagram = vec![0; 8 + text.len()];
    let fill = |payload: &mut [u8]| payload.copy_from_slice(text.as_bytes());
    let (source, destination) = (from.ip().into(), to.ip().into());
    let all = ChecksumCapabilities::default();
    header.emit(&mut UdpPacket::new_unchecked(&mut datagram[..]), &source, &destination, text.len(), fill, &all);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(ends, from, to, IpProtocol::Udp, &datagram),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(ends, from, to, IpProtocol::Udp, &datagram),
        _ => panic!("from one family to the other"),
    }
}

/// An ARP request or reply; `mac` is the sender's hardware address in it.
pub(super) fn arp(
    ends: Ends,
    operation: ArpOperation,
    mac: EthernetAddress,
    sender: Ipv4Addr,
    to: Ipv4Addr,
) -> Vec<u8> {
    let packet = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: mac,
        source_protocol_addr: sender,
        target_hardware_addr: ends.far,
        target_protocol_addr: to,
    };
    let mut bytes = vec![0; packet.buffer_len()];
    packet.emit(&mut ArpPacket::new_unchecked(&mut bytes));
    ethernet(ends, EthernetProtocol::Arp, &bytes)
}

/// A neighbour discovery message: its hop limit of 255 shows that it was not forwarded.
pub(super) fn ndisc(ends: Ends, from: Ipv6Addr, to: Ipv6Addr, message: NdiscRepr<'_>) -> Vec<u8> {
    icmpv6(ends, from, to, &Icmpv6Repr::Ndisc(message))
}

/// Any ICMPv6 message.
pub(super) fn icmpv6(ends: Ends, from: Ipv6Addr, to: Ipv6Addr, message: &Icmpv6Repr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(&mut bytes[..]), &ChecksumCapabilities::default());
    ipv6(ends, from, to, IpProtocol::Icmpv6, &bytes)
}

/// An ICMP redirect: the destination of `packet` (an IPv4 packet) is reached by `gateway` from now on (RFC 792).
pub(super) fn redirect_v4(ends: Ends, from: Ipv4Addr, to: Ipv4Addr, gateway: Ipv4Addr, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes[4..8].copy_from_slice(&gateway.octets());
    bytes.extend_from_slice(&packet[..packet.len().min(IPV4 + 8)]);
    let mut message = Icmpv4Packet::new_unchecked(&mut bytes[..]);
    message.set_msg_type(Icmpv4Message::Redirect);
    message.set_msg_code(1);
    message.fill_checksum();
    ipv4(ends, from, to, IpProtocol::Icmp, &bytes)
}

/// An IPv4 packet in its frame.
pub(super) fn ipv4(ends: Ends, from: Ipv4Addr, to: Ipv4Addr, next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Repr { src_addr: from, dst_addr: to, next_header, payload_len: payload.len(), hop_limit: 64 };
    let mut bytes = vec![0; IPV4 + payload.len()];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    header.emit(&mut packet, &ChecksumCapabilities::default());
    packet.payload_mut().copy_from_slice(payload);
    ethernet(ends, EthernetProtocol::Ipv4, &bytes)
}

fn ipv6(ends: Ends, from: Ipv6Addr, to: Ipv6Addr, next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header = Ipv6Repr { src_addr: from, dst_addr: to, next_header, payload_len: payload.len(), hop_limit: 255 };
    let mut bytes = vec![0; IPV6 + payload.len()];
    let mut packet = Ipv6Packet::new_unchecked(&mut bytes[..]);
    header.emit(&mut packet);
    packet.payload_mut().copy_from_slice(payload);
    ethernet(ends, EthernetProtocol::Ipv6, &bytes)
}

fn ethernet(ends: Ends, kind: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ETHERNET + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(ends.own);
    frame.set_dst_addr(ends.far);
    frame.set_ethertype(kind);
    frame.payload_mut().copy_from_slice(payload);
    bytes
}

/// The payload of a frame, without its Ethernet header.
pub(super) fn packet_of(frame: &[u8]) -> &[u8] {
    &frame[ETHERNET..]
}

/// Sends frames by the link of this name, one after the other.
pub(super) fn send(place: &Place, link: &str, frames: &[Vec<u8>]) -> Result<(), Error> {
    let sent = place.enter(|| {
        let mut socket = RawSocket::new(link, Medium::Ethernet)?;
        for frame in frames {
            if let Some(token) = socket.transmit(time::Instant::ZERO) {
                token.consume(frame.len(), |buffer| buffer.copy_from_slice(frame));
            }
        }
        Ok(())
    })?;
    sent.map_err(|source| Error::System { doing: format!("write frames to {link} of {}", place.name()), source })
}

/// Every frame on the link of this name, in and out, during `meanwhile` and for a moment afterwards.
pub(super) fn capture(
    place: &Place,
    link: &str,
    meanwhile: impl FnOnce() -> Result<(), Error>,
) -> Result<Vec<Vec<u8>>, Error> {
    let done = std::sync::atomic::AtomicBool::new(false);
    let ready = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let capture = scope.spawn(|| {
            place.enter(|| {
                let socket = RawSocket::new(link, Medium::Ethernet);
                ready.wait();
                let (mut socket, mut received, mut until) = (socket?, Vec::new(), None);
                while until.is_none_or(|until| Instant::now() < until) {
                    match socket.receive(time::Instant::ZERO) {
                        Some((frame, _)) => received.push(frame.consume(<[u8]>::to_vec)),
                        None => std::thread::sleep(Duration::from_millis(1)),
                    }
                    if until.is_none() && done.load(std::sync::atomic::Ordering::Acquire) {
                        until = Some(Instant::now() + Duration::from_millis(50));
                    }
                }
                Ok::<_, std::io::Error>(received)
            })
        });
        ready.wait();
        let outcome = meanwhile();
        done.store(true, std::sync::atomic::Ordering::Release);
        let received = capture.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        outcome?;
        received.map_err(|source| Error::System { doing: format!("listen at {link} of {}", place.name()), source })
    })
}

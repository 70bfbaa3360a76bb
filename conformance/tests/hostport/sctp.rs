//! SCTP: an INIT chunk by raw sockets, for kernels of people who test may lack SCTP sockets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use podlan_conformance::lab::{Error, Lab, PORT, Place, until, within};
use rustix::net::{AddressFamily, SocketType, ipproto, socket};
use serde_json::json;

use crate::rig::{SOON, mapping, with_ports};

const HEADER: usize = 12;

/// The common header and an INIT chunk (RFC 9260, sections 3.1 and 3.3.2), with its CRC-32C.
fn init(from: u16, to: u16) -> Vec<u8> {
    let mut packet = [from.to_be_bytes(), to.to_be_bytes()].concat();
    packet.extend([0; 8]);
    packet.extend([1, 0, 0, 20, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9]);
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// RFC 9260, appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// A raw socket as one of datagrams, which std can send, receive and time.
fn raw(place: &Place, v6: bool) -> Result<UdpSocket, Error> {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let opened = place.enter(|| socket(family, SocketType::RAW, Some(ipproto::SCTP)))?;
    let socket: OwnedFd =
        opened.map_err(|errno| Error::System { doing: "open a raw socket".into(), source: errno.into() })?;
    let socket = UdpSocket::from(socket);
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .map_err(|source| Error::System { doing: "set a deadline".into(), source })?;
    Ok(socket)
}

#[test]
fn an_sctp_host_port_leads_to_the_pod() {
    within(|| {
        let lab = Lab::new(2)?;
        let [one, two] = lab.these();
        let web = one.pod("web")?;
        web.add(&with_ports(one, &json!([mapping("SCTP", 3868)])))?;
        for node in one.ips() {
            let v6 = node.is_ipv6();
            let (client, server) = (raw(two.place(), v6)?, raw(web.place(), v6)?);
            let until = until(SOON);
            let mut buffer = [0; 256];
            let (length, from) = loop {
                client
                    .send_to(&init(5000, 3868), SocketAddr::new(node, 0))
                    .map_err(|source| Error::System { doing: "send an INIT".into(), source })?;
                match server.recv_from(&mut buffer) {
                    Ok(received) => break received,
                    Err(_) if Instant::now() < until => {}
                    Err(source) => return Err(Error::System { doing: format!("receive by {node}"), source }),
                }
            };
            let start = if v6 { 0 } else { usize::from(buffer[0] & 0x0f) * 4 };
            let packet = &buffer[start..length];
            assert_eq!(packet[..4], [5000u16.to_be_bytes(), PORT.to_be_bytes()].concat(), "the ports");
            let source: IpAddr = if v6 { two.v6() } else { two.v4() };
            assert_eq!(from.ip(), source, "the pod sees who called");
            let mut summed = packet.to_vec();
            let sum = summed[8..HEADER].to_vec();
            summed[8..HEADER].fill(0);
            assert_eq!(sum, crc32c(&summed).to_le_bytes(), "the checksum follows the port");
        }
        web.del(&one.podnet())
    });
}

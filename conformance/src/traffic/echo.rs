//! ICMP echoes of both families, by a raw socket (RFC 792, RFC 4443).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::patience;
use super::socket::{any, icmp};

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;
const HEADER: usize = 8;

/// An echo request or reply as received.
pub(super) struct Echo<'a> {
    pub(super) is_request: bool,
    pub(super) token: &'a [u8],
}

impl<'a> Echo<'a> {
    /// Parses a message of a raw socket: for IPv4 with the IP header before it.
    pub(super) fn read(v6: bool, received: &'a [u8]) -> Option<Self> {
        let start = if v6 { 0 } else { usize::from(received.first()? & 0x0f) * 4 };
        let message = received.get(start..)?;
        let is_request = match (v6, message.first()?) {
            (false, &REQUEST_V4) | (true, &REQUEST_V6) => true,
            (false, &REPLY_V4) | (true, &REPLY_V6) => false,
            _ => return None,
        };
        Some(Self { is_request, token: message.get(HEADER..)? })
    }
}

/// Sends echo requests with `token` until the target replies with it; returns the time that it took.
///
/// # Errors
/// The kernel's error, such as an unreachable network, and `TimedOut`.
pub fn ping(to: SocketAddr, from: Option<IpAddr>, token: &[u8]) -> io::Result<std::time::Duration> {
    let v6 = to.is_ipv6();
    let socket = icmp(from.unwrap_or_else(|| any(v6)))?;
    let started = Instant::now();
    let mut buffer = [0; 2048];
    for sequence in 0..4u16 {
        socket.send_to(&request(v6, sequence, token), to)?;
        let until = Instant::now() + patience() / 4;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            match socket.recv_from(&mut buffer) {
                Ok((length, peer)) if peer.ip() == to.ip() => {
                    let echo = Echo::read(v6, &buffer[..length]);
                    if echo.is_some_and(|echo| !echo.is_request && echo.token == token) {
                        return Ok(started.elapsed());
                    }
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::Error::new(
        ErrorKind::TimedOut,
        format!("no echo reply from {} to {}", to.ip(), from.unwrap_or_else(|| any(v6))),
    ))
}

fn request(v6: bool, sequence: u16, token: &[u8]) -> Vec<u8> {
    let mut message = vec![if v6 { REQUEST_V6 } else { REQUEST_V4 }, 0, 0, 0, 0, 1];
    message.extend(sequence.to_be_bytes());
    message.extend(token);
    if !v6 {
        // The kernel writes the checksum of ICMPv6, which covers addresses that only the kernel knows.
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
    }
    message
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_to_zero() {
        assert_eq!(checksum(&request(false, 7, b"token")), 0);
        assert_eq!(checksum(&request(false, 7, b"tokens")), 0);
    }

    #[test]
    fn an_echo_is_read_behind_the_header_of_ipv4() {
        let received = [vec![0x45; 20], request(false, 1, b"abc")].concat();
        let echo = Echo::read(false, &received).unwrap();
        assert!(echo.is_request);
        assert_eq!(echo.token, b"abc");
        assert!(Echo::read(true, &request(true, 1, b"abc")).unwrap().is_request);
        assert!(Echo::read(false, &received[..21]).is_none());
    }
}

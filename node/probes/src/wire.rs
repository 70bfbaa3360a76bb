//! The datagrams that agents exchange: one fixed head of 64 bytes, all numbers big-endian, then padding up to the size that is
//! probed. Nothing in them is secret, and nothing in them is executed or stored: what is not valid is dropped.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `podP` |
//! | 4 | version, 1 |
//! | 5 | 1 request, 2 answer |
//! | 6 | how the sender stands ([`Standing`]) |
//! | 7 | the sender's own verdict on this path ([`Opinion`]) |
//! | 8..16 | nonce; an answer repeats the request's |
//! | 16..24 | a nonce of an earlier request that is asked about, 0 for none |
//! | 24..40 | answer: the source address at which the request was seen, IPv4 as `::ffff:a.b.c.d`; else 0 |
//! | 40..56 | answer: the source address at which the earlier request was seen, 0 where it was not |
//! | 56..64 | 0 |
//!
//! An answer is as long as its request, never longer.

use std::net::{IpAddr, Ipv6Addr};

/// The length of the head, and of the smallest datagram.
pub const HEAD: usize = 64;

/// The longest datagram that is read, bytes: larger than any link's MTU in use.
pub const LONGEST: usize = 65_535;

const MAGIC: &[u8; 4] = b"podP";
const VERSION: u8 = 1;

/// How the sender stands itself, for one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It probes, and takes in what others probe.
    #[default]
    Open,
    /// Its own packet filter drops probes that come in, while packets of pods may pass.
    Closed,
    /// It has no pods, and does not forward.
    Idle,
    /// A pod, or a link of the node, has its probe address.
    Held,
    /// Its pod CIDR has no address for it.
    NoRoom,
    /// Its probe link could not be made.
    Failed,
    /// A rule there drops what its probe link forwards, and not packets of pods.
    Obstructed,
}

/// What the sender found out about the path to the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opinion {
    /// Nothing yet.
    #[default]
    None,
    /// Packets pass both ways.
    Open,
    /// Packets of full size do not pass.
    TooBig,
    /// Packets do not pass, or do not come back.
    Lost,
    /// Packets arrive with another source address.
    Translated,
}

/// Whether a datagram asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks for an answer of the same length.
    Request {
        /// A nonce of an earlier request: was it received?
        about: Option<u64>,
    },
    /// The answer.
    Answer {
        /// From which source address the request came.
        seen: IpAddr,
        /// From which source address the earlier request came; `None` where it was not received or not asked about.
        earlier: Option<IpAddr>,
    },
}

/// One datagram without its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Names the request.
    pub nonce: u64,
    /// How the sender stands.
    pub standing: Standing,
    /// What the sender thinks of the path.
    pub opinion: Opinion,
    /// What it says.
    pub message: Message,
}

impl Datagram {
    /// Writes it, padded to `size` bytes, and at least the head.
    pub fn write(&self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size.clamp(HEAD, LONGEST)];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = VERSION;
        bytes[6] = self.standing.code();
        bytes[7] = self.opinion.code();
        bytes[8..16].copy_from_slice(&self.nonce.to_be_bytes());
        match self.message {
            Message::Request { about } => {
                bytes[5] = 1;
                bytes[16..24].copy_from_slice(&about.unwrap_or_default().to_be_bytes());
            }
            Message::Answer { seen, earlier } => {
                bytes[5] = 2;
                bytes[24..40].copy_from_slice(&octets(seen));
                if let Some(earlier) = earlier {
                    bytes[40..56].copy_from_slice(&octets(earlier));
                }
            }
        }
        bytes
    }

    /// Reads one; `None` for what is no datagram of this version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        if !head.starts_with(MAGIC) || head[4] != VERSION {
            return None;
        }
        let nonce = number(&head[8..16]).filter(|nonce| *nonce != 0)?;
        let message = match head[5] {
            1 => Message::Request { about: number(&head[16..24]).filter(|about| *about != 0) },
            2 => Message::Answer { seen: address(&head[24..40])?, earlier: address(&head[40..56]) },
            _ => return None,
        };
        Some(Self { nonce, standing: Standing::of(head[6])?, opinion: Opinion::of(head[7])?, message })
    }
}

impl Standing {
    const ALL: [Self; 7] =
        [Self::Open, Self::Closed, Self::Idle, Self::Held, Self::NoRoom, Self::Failed, Self::Obstructed];

    fn code(self) -> u8 {
        Self::ALL.iter().zip(0..).find(|(one, _)| **one == self).map_or(0, |(_, code)| code)
    }

    fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl Opinion {
    const ALL: [Self; 5] = [Self::None, Self::Open, Self::TooBig, Self::Lost, Self::Translated];

    fn code(self) -> u8 {
        Self::ALL.iter().zip(0..).find(|(one, _)| **one == self).map_or(0, |(_, code)| code)
    }

    fn of(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v6 = bytes.first_chunk().map(|bytes: &[u8; 16]| Ipv6Addr::from(*bytes))?;
    (!v6.is_unspecified()).then(|| v6.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(about: Option<u64>) -> Datagram {
        Datagram { nonce: 7, standing: Standing::Closed, opinion: Opinion::Open, message: Message::Request { about } }
    }

    #[test]
    fn what_is_written_reads_the_same_whatever_its_padding() {
        let answer = Message::Answer { seen: "10.244.1.1".parse().unwrap(), earlier: Some("fd00::1".parse().unwrap()) };
        for datagram in [request(None), request(Some(9)), Datagram { message: answer, ..request(None) }] {
            for size in [0, HEAD, 100, 1452] {
                let bytes = datagram.write(size);
                assert_eq!((bytes.len(), Datagram::read(&bytes)), (size.max(HEAD), Some(datagram)));
            }
        }
    }

    #[test]
    fn what_is_no_datagram_of_this_version_is_none() {
        let bytes = request(None).write(HEAD);
        for (at, value) in [(0, b'x'), (4, 2), (5, 3), (6, 7), (7, 9), (15, 0)] {
            let mut odd = bytes.clone();
            odd[at] = value;
            assert_eq!(Datagram::read(&odd), None, "byte {at}");
        }
        assert_eq!(Datagram::read(&bytes[..HEAD - 1]), None);
    }

    #[test]
    fn fuzz_what_any_datagram_says_reads_the_same_once_written_again() {
        fuzz::run("probe", |bytes| {
            if let Some(datagram) = Datagram::read(bytes) {
                let again = datagram.write(bytes.len());
                assert!(again.len() <= bytes.len(), "it never grows");
                assert_eq!(Datagram::read(&again), Some(datagram));
            }
        });
    }
}

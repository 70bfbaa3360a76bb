//! Netlink messages: the header, acknowledgements, and the kernel's error with its text.

use std::fmt;
use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_ACK_TLVS, NLM_F_CAPPED};

use super::attribute::{Attribute, Attributes};

pub(super) use rtnetlink::packet_core::NLM_F_DUMP_INTR;

/// The kind of an acknowledgement or an error.
pub const NLMSG_ERROR: u16 = 2;
/// The kind of a dump's end.
pub(super) const NLMSG_DONE: u16 = 3;
/// Length of `struct nlmsghdr`, bytes.
pub(crate) const HEADER: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A request that the kernel refused: the errno, and the kernel's text where it gives one (`NETLINK_EXT_ACK`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    /// The errno.
    pub errno: Errno,
    /// The extended acknowledgement's message, "" when there is none.
    pub text: String,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.trim_end_matches('.') {
            "" => write!(f, "{} ({:?})", self.errno.desc(), self.errno),
            text => write!(f, "{text} ({:?})", self.errno),
        }
    }
}

impl std::error::Error for KernelError {}

impl KernelError {
    /// An acknowledgement where an object was due.
    pub(crate) fn no_answer() -> Self {
        Self { errno: Errno::ENODATA, text: String::new() }
    }
}

/// A received message: `struct nlmsghdr` and what follows it.
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: of the request that it answers.
    pub sequence: u32,
    /// `nlmsg_pid`: the port of the socket whose request it answers, or that caused the event.
    pub port: u32,
    /// Header and payload.
    pub bytes: &'a [u8],
}

/// The messages of a datagram, in order, up to the first one that does not fit.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let bytes = datagram.get(..length).filter(|bytes| bytes.len() >= HEADER)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
        Some(Message { kind, flags, sequence: u32_at(bytes, 8)?, port: u32_at(bytes, 12)?, bytes })
    })
}

/// Appends a message to `datagram`: the header, the family's fixed structure, and attributes. The kernel fills
/// in the sender's port.
pub fn write(datagram: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, fixed: &[u8], attributes: &[Attribute]) {
    let length = HEADER + fixed.len() + attributes.iter().map(|attribute| attribute.encoded().len()).sum::<usize>();
    datagram.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(flags.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend(0u32.to_ne_bytes());
    datagram.extend(fixed);
    datagram.extend(attributes.iter().flat_map(Attribute::encoded));
}

impl<'a> Message<'a> {
    /// What follows the header: the family's fixed structure of `fixed` bytes, and behind it the attributes. Both are empty
    /// where the message is too short.
    pub fn split(&self, fixed: usize) -> (&'a [u8], Attributes<'a>) {
        let (fixed, attributes) = self.bytes[HEADER..].split_at_checked(fixed).unwrap_or_default();
        (fixed, Attributes(attributes))
    }

    /// The attributes behind a fixed structure of `fixed` bytes.
    pub fn attributes(&self, fixed: usize) -> Attributes<'a> {
        self.split(fixed).1
    }

    /// Reads `struct nlmsgerr`: `Ok` for an acknowledgement. Meant for [`NLMSG_ERROR`] and the end of a dump (`NLMSG_DONE`).
    pub fn verdict(&self) -> Result<(), KernelError> {
        match u32_at(self.bytes, HEADER).map_or(0, u32::cast_signed) {
            0 => Ok(()),
            code => {
                Err(KernelError { errno: Errno::from_raw(code.wrapping_neg()), text: self.text().unwrap_or_default() })
            }
        }
    }

    /// The text among the attributes that follow the refused request (or only its header: `NLM_F_CAPPED`).
    fn text(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let refused = HEADER + 4;
        let skipped = match self.flags & NLM_F_CAPPED {
            0 => usize::try_from(u32_at(self.bytes, refused)?).ok()?.next_multiple_of(4),
            _ => HEADER,
        };
        let text = Attributes(self.bytes.get(refused + skipped..)?).find(NLMSGERR_ATTR_MSG)?;
        Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
    }
}

/// An address as an attribute's whole value.
pub(crate) fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|value| value.try_into().ok()).map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|value| value.try_into().ok()).map(u32::from_ne_bytes)
}

/// A message as the kernel would send it.
#[cfg(test)]
pub(crate) fn sample(kind: u16, fixed: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let attributes: Vec<_> = attributes.iter().map(|(kind, value)| Attribute::bytes(*kind, value)).collect();
    let mut message = Vec::new();
    write(&mut message, kind, 0, 0, fixed, &attributes);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, flags, sequence, payload, &[]);
        bytes
    }

    #[test]
    fn an_error_has_the_kernels_text() {
        let refused = message(24, 0, 7, &[]);
        let mut payload = (-101i32).to_ne_bytes().to_vec();
        payload.extend(&refused);
        payload.extend([10u8, 0, 1, 0]);
        payload.extend(b"no way");
        let datagram = message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, 7, &payload);
        let raw = messages(&datagram).next().unwrap();
        assert_eq!(raw.sequence, 7);
        let error = raw.verdict().unwrap_err();
        assert_eq!(error.to_string(), "no way (ENETUNREACH)");
    }

    #[test]
    fn a_message_of_any_length_is_padded_to_four_bytes() {
        for length in 0..8 {
            let mut datagram = message(24, 0, 1, &vec![0xff; length]);
            datagram.resize(datagram.len().next_multiple_of(4), 0);
            datagram.extend(message(24, 0, 2, &[]));
            assert_eq!(messages(&datagram).map(|message| message.sequence).collect::<Vec<_>>(), [1, 2]);
        }
    }

    #[test]
    fn a_datagram_cut_anywhere_is_read_without_a_panic() {
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend(message(24, 0, 7, &[]));
        payload.extend([10u8, 0, 1, 0, b'x']);
        let mut datagram = message(NLMSG_ERROR, 0, 1, &[0; 20]);
        datagram.extend(message(NLMSG_ERROR, NLM_F_ACK_TLVS, 2, &payload));
        for end in 0..datagram.len() {
            for raw in messages(&datagram[..end]) {
                let _ = raw.verdict();
            }
        }
    }
}

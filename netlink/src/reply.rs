//! The kernel's answers as bytes: message headers, acknowledgements, and the error with the text that goes with it.

use std::fmt;
use std::net::IpAddr;

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_ACK_TLVS, NLM_F_CAPPED};

pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
/// Length of `struct nlmsghdr`, bytes.
pub(crate) const HEADER: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A request that the kernel refused: its errno, and its own words where it gave any (`NETLINK_EXT_ACK`).
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

/// One netlink message inside a datagram: `struct nlmsghdr` and what follows it.
pub(crate) struct Raw<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// Header and payload, as the decoder wants them.
    pub(crate) bytes: &'a [u8],
}

/// The messages of a datagram, in order; ends at the first one that does not fit.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let bytes = datagram.get(..length).filter(|bytes| bytes.len() >= HEADER)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Raw { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)?, bytes })
    })
}

impl Raw<'_> {
    /// Reads `struct nlmsgerr`: `Ok` for an acknowledgement. Of use for [`NLMSG_ERROR`] and, in a dump, [`NLMSG_DONE`].
    pub(crate) fn verdict(&self) -> Result<(), KernelError> {
        match u32_at(self.bytes, HEADER).map_or(0, u32::cast_signed) {
            0 => Ok(()),
            code => {
                Err(KernelError { errno: Errno::from_raw(code.wrapping_neg()), text: self.text().unwrap_or_default() })
            }
        }
    }

    /// The message among the attributes that follow the refused request (or its header alone, when capped).
    fn text(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let refused = HEADER + 4;
        let skipped = match self.flags & NLM_F_CAPPED {
            0 => usize::try_from(u32_at(self.bytes, refused)?).ok()?.next_multiple_of(4),
            _ => HEADER,
        };
        let text = attribute(self.bytes.get(refused + skipped..)?, NLMSGERR_ATTR_MSG)?;
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

/// One netlink attribute (`struct nlattr`), its kind without the flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const NLA_FLAGS: u16 = 0xc000;

/// The attributes in a row of them, in order; ends at the first one that does not fit.
pub(crate) fn attributes(mut row: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(row, 0)?);
        let (kind, value) = (u16_at(row, 2)? & !NLA_FLAGS, row.get(4..length)?);
        row = row.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value })
    })
}

/// The value of the first attribute of a kind, among these.
pub(crate) fn attribute(row: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(row).find(|attribute| attribute.kind == wanted).map(|attribute| attribute.value)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|value| value.try_into().ok()).map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|value| value.try_into().ok()).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn an_error_carries_the_kernels_own_words() {
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

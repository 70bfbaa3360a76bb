//! Netlink attributes (`struct nlattr`): a length, a kind and a value, padded to four bytes. rtnetlink has numbers in the
//! host's byte order, nf_tables in network byte order.

use super::message::{u16_at, u32_at};

const NLA_F_NESTED: u16 = 0x8000;
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const NLA_FLAGS: u16 = 0xc000;
const HEAD: usize = 4;

/// Appends one attribute to `bytes`. A value is at most 65,531 bytes long.
pub(crate) fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(HEAD + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One attribute, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute(Vec<u8>);

impl Attribute {
    /// An attribute of any bytes, 65,531 at most.
    pub fn bytes(kind: u16, value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity((HEAD + value.len()).next_multiple_of(4));
        append(&mut bytes, kind, value);
        Self(bytes)
    }

    /// A number in the host's byte order.
    pub fn u32(kind: u16, value: u32) -> Self {
        Self::bytes(kind, &value.to_ne_bytes())
    }

    /// A number in network byte order.
    pub fn be32(kind: u16, value: u32) -> Self {
        Self::bytes(kind, &value.to_be_bytes())
    }

    /// A number in network byte order.
    pub fn be64(kind: u16, value: u64) -> Self {
        Self::bytes(kind, &value.to_be_bytes())
    }

    /// Text, which ends with a zero byte on the wire.
    pub fn text(kind: u16, value: &str) -> Self {
        Self::bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Attributes inside of one (`NLA_F_NESTED`).
    pub fn nested(kind: u16, inner: &[Self]) -> Self {
        let inner: Vec<u8> = inner.iter().flat_map(|attribute| &attribute.0).copied().collect();
        Self::bytes(kind | NLA_F_NESTED, &inner)
    }

    /// Its bytes, padding included.
    pub fn encoded(&self) -> &[u8] {
        &self.0
    }
}

/// Received attributes. Iterates over (kind without flags, value), up to the first one that does not fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let (kind, value) = (u16_at(self.0, 2)? & !NLA_FLAGS, self.0.get(HEAD..length)?);
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of a kind.
    pub fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// A number in the host's byte order.
    pub fn u32(self, kind: u16) -> Option<u32> {
        u32_at(self.find(kind)?, 0)
    }

    /// A number in network byte order.
    pub fn be32(self, kind: u16) -> Option<u32> {
        self.find(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// A number in network byte order.
    pub fn be64(self, kind: u16) -> Option<u64> {
        self.find(kind)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// Text without its zero byte; `None` where it is not UTF-8.
    pub fn text(self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.find(kind)?).ok().map(|text| text.trim_end_matches('\0'))
    }

    /// The attributes inside of one; empty where it is missing.
    pub fn inside(self, kind: u16) -> Self {
        Self(self.find(kind).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_cut_or_flip_makes_it_panic() {
        let inner = [Attribute::text(1, "podlan"), Attribute::be32(2, 7), Attribute::u32(3, 9), Attribute::be64(4, 11)];
        let written = Attribute::nested(5, &inner);
        let bytes = written.encoded();
        let read = Attributes(bytes).inside(5);
        assert_eq!((read.text(1), read.be32(2), read.be32(6)), (Some("podlan"), Some(7), None));
        assert_eq!((read.u32(3), read.be64(4)), (Some(9), Some(11)));
        for end in 0..bytes.len() {
            assert!(Attributes(&bytes[..end]).inside(5).count() <= inner.len());
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0xff;
            assert!(Attributes(&flipped).inside(5).count() <= bytes.len() / HEAD);
        }
    }
}

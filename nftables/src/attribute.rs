//! Netlink attributes as nf_tables has them: numbers are big-endian, unlike in rtnetlink.

const NLA_F_NESTED: u16 = 0x8000;
const HEAD: usize = 4;

/// An attribute, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute(Vec<u8>);

impl Attribute {
    pub(super) fn bytes(kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(HEAD + value.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(usize::from(length).next_multiple_of(4));
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Self(bytes)
    }

    pub(super) fn number(kind: u16, value: u32) -> Self {
        Self::bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn long(kind: u16, value: u64) -> Self {
        Self::bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn text(kind: u16, value: &str) -> Self {
        Self::bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(super) fn nested(kind: u16, inner: &[Self]) -> Self {
        let inner: Vec<u8> = inner.iter().flat_map(|attribute| &attribute.0).copied().collect();
        Self::bytes(kind | NLA_F_NESTED, &inner)
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.0
    }
}

/// Attributes as they were received: (kind, value) one by one, up to the first that is cut off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let head: [u8; HEAD] = self.0.get(..HEAD)?.try_into().ok()?;
        let [a, b, c, d] = head;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = self.0.get(HEAD..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & !NLA_F_NESTED, value))
    }
}

impl<'a> Attributes<'a> {
    pub(super) fn find(self, kind: u16) -> Option<&'a [u8]> {
        let mut all = self;
        all.find_map(|(found, value)| (found == kind).then_some(value))
    }

    pub(super) fn number(self, kind: u16) -> Option<u32> {
        self.find(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn long(self, kind: u16) -> Option<u64> {
        self.find(kind)?.try_into().ok().map(u64::from_be_bytes)
    }

    pub(super) fn text(self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.find(kind)?).ok().map(|text| text.trim_end_matches('\0'))
    }

    /// The attributes inside of one; none where it is missing.
    pub(super) fn inside(self, kind: u16) -> Self {
        Self(self.find(kind).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_cut_or_flip_makes_it_panic() {
        let inner = [Attribute::text(1, "podlan"), Attribute::number(2, 7)];
        let written = Attribute::nested(5, &inner);
        let bytes = written.encoded();
        let read = Attributes(bytes).inside(5);
        assert_eq!((read.text(1), read.number(2), read.number(4)), (Some("podlan"), Some(7), None));
        for end in 0..bytes.len() {
            assert!(Attributes(&bytes[..end]).inside(5).count() <= 3);
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0xff;
            assert!(Attributes(&flipped).inside(5).count() <= 16);
        }
    }
}

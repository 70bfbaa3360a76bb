//! One line of the store: 512 bytes of text that carry their own line number and checksum.
//! Its bytes and the words on it; what the words mean is up to the other modules.

use std::fmt::{self, Write as _};

use crate::Corruption;

/// Bytes of a line, the newline included.
pub(crate) const SIZE: usize = 512;
/// `line=xxxxxxxx crc=xxxxxxxx\n`, at the end of each line.
const TRAILER: usize = 27;
/// Bytes that words may fill.
pub(crate) const ROOM: usize = SIZE - TRAILER;
const SUM_AT: usize = SIZE - 9;

/// A line as it lies in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line([u8; SIZE]);

impl Line {
    /// A line that says nothing, for bytes that are yet to be read.
    pub(crate) fn empty() -> Self {
        Self([b' '; SIZE])
    }

    /// The bytes, to be read into.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; SIZE] {
        &mut self.0
    }

    /// The bytes, to be written.
    pub(crate) fn bytes(&self) -> &[u8; SIZE] {
        &self.0
    }

    /// A line from the file, if it is whole and belongs at `number`.
    pub(crate) fn checked(bytes: &[u8], number: u32) -> Result<Self, Corruption> {
        let line = Self(bytes.try_into().map_err(|_| Corruption("cut short"))?);
        let sum = crc32fast::hash(&line.0[..SUM_AT]);
        if hex(&line.0[SUM_AT..SIZE - 1]) != Some(sum) || line.0[SIZE - 1] != b'\n' {
            return Err(Corruption("its checksum does not match"));
        }
        if line.number() != Some(number) {
            return Err(Corruption("it belongs elsewhere in the file"));
        }
        Ok(line)
    }

    /// The line number it carries.
    pub(crate) fn number(&self) -> Option<u32> {
        hex(&self.0[ROOM + 5..ROOM + 13])
    }

    /// The text before the trailer.
    fn text(&self) -> Result<&str, Corruption> {
        let end = self.0[..ROOM].iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
        std::str::from_utf8(&self.0[..end]).map_err(|_| Corruption("it is not text"))
    }

    /// Whether this is its first word.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.0.strip_prefix(kind.as_bytes()).is_some_and(|rest| rest.first() == Some(&b' '))
    }

    /// Its kind (the first word) and its `key=value` words.
    pub(crate) fn words(&self) -> Result<(&str, Words<'_>), Corruption> {
        let text = self.text()?;
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        Ok((kind, Words { rest, whole: rest }))
    }

    /// `count` bytes from `at` on, for fixed columns.
    pub(crate) fn column(&self, at: usize, count: usize) -> &[u8] {
        &self.0[at..at + count]
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(String::from_utf8_lossy(&self.0).trim_end())
    }
}

/// `key=value` words in the order they were written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl<'a> Words<'a> {
    /// The value of a key. Words are asked for in the order they were written, which makes this one step each.
    pub(crate) fn find(&mut self, key: &str) -> Option<&'a str> {
        for text in [self.rest, self.whole] {
            let mut rest = text;
            while !rest.is_empty() {
                let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
                if let Some(value) = word.strip_prefix(key).and_then(|value| value.strip_prefix('=')) {
                    self.rest = tail;
                    return Some(value);
                }
                rest = tail;
            }
        }
        None
    }

    /// The value of a key that must be there.
    pub(crate) fn get(&mut self, key: &str) -> Result<&'a str, Corruption> {
        self.find(key).ok_or(Corruption("a word is missing"))
    }

    /// The value of a key, read as what it should be.
    pub(crate) fn parse<T: std::str::FromStr>(&mut self, key: &str) -> Result<T, Corruption> {
        self.get(key)?.parse().map_err(|_| Corruption("a word cannot be read"))
    }

    /// A number in hex; `-` is none.
    pub(crate) fn link(&mut self, key: &str) -> Result<Option<u32>, Corruption> {
        match self.get(key)? {
            "-" => Ok(None),
            text => hex(text.as_bytes()).map(Some).ok_or(Corruption("a link cannot be read")),
        }
    }
}

/// Writes one line: words first, then padding, line number and checksum.
pub(crate) struct Writer {
    bytes: [u8; SIZE],
    used: usize,
    excess: usize,
}

impl Writer {
    /// Begin with the line's kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut writer = Self { bytes: [b' '; SIZE], used: 0, excess: 0 };
        writer.push(kind.as_bytes());
        writer
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if self.excess > 0 || end > ROOM {
            self.excess += bytes.len();
        } else {
            self.bytes[self.used..end].copy_from_slice(bytes);
            self.used = end;
        }
    }

    /// Add `key=value`.
    pub(crate) fn word(&mut self, key: &str, value: impl fmt::Display) -> &mut Self {
        self.push(b" ");
        self.push(key.as_bytes());
        self.push(b"=");
        // Writing into ourselves cannot fail: what does not fit is counted.
        let _ = write!(self, "{value}");
        self
    }

    /// Add `key=` and a link: a number in hex, or `-`.
    pub(crate) fn link(&mut self, key: &str, value: Option<u32>) -> &mut Self {
        match value {
            Some(value) => self.word(key, format_args!("{value:x}")),
            None => self.word(key, "-"),
        }
    }

    /// Put bytes at a fixed column.
    pub(crate) fn column(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Bytes still free.
    pub(crate) fn free(&self) -> usize {
        ROOM.saturating_sub(self.used)
    }

    /// The finished line for its place in the file; or how many bytes too many the words are.
    pub(crate) fn finish(&self, number: u32) -> Result<Line, usize> {
        if self.excess > 0 {
            return Err(self.excess - self.free());
        }
        let mut bytes = self.bytes;
        bytes[ROOM..ROOM + 5].copy_from_slice(b"line=");
        put_hex(&mut bytes[ROOM + 5..ROOM + 13], number);
        bytes[ROOM + 13..SUM_AT].copy_from_slice(b" crc=");
        let sum = crc32fast::hash(&bytes[..SUM_AT]);
        put_hex(&mut bytes[SUM_AT..SIZE - 1], sum);
        bytes[SIZE - 1] = b'\n';
        Ok(Line(bytes))
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// A line that only reserves its place.
pub(crate) fn blank(number: u32) -> Line {
    Writer::new("blank").finish(number).unwrap_or_else(|_| Line::empty())
}

/// Lower-case hex digits, at most eight.
pub(crate) fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(digit))
    })
}

/// Eight lower-case hex digits.
pub(crate) fn put_hex(out: &mut [u8], value: u32) {
    for (position, byte) in out.iter_mut().enumerate() {
        let digit = value >> (28 - 4 * position) & 0xf;
        *byte = b"0123456789abcdef"[digit as usize];
    }
}

/// Text made safe for one word: what could end a word or a line is written `%xx`.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b'!'..=b'~' if *byte != b'%' => out.write_char(char::from(*byte))?,
                _ => write!(out, "%{byte:02x}")?,
            }
        }
        Ok(())
    }
}

/// The bytes that [`Escaped`] was made from.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, Corruption> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        if *byte == b'%' {
            let digits = tail.get(..2).and_then(hex).ok_or(Corruption("a word cannot be read"))?;
            bytes.push(u8::try_from(digits).unwrap_or(b'?'));
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_belongs_to_one_place() {
        let mut writer = Writer::new("pool");
        writer.word("start", "10.0.0.1").link("head", Some(0x2a)).link("tail", None);
        let line = writer.finish(300).unwrap();
        let line = Line::checked(line.bytes(), 300).unwrap();
        let (kind, mut words) = line.words().unwrap();
        assert_eq!(kind, "pool");
        assert_eq!(words.get("start").unwrap(), "10.0.0.1");
        assert_eq!(words.link("head").unwrap(), Some(0x2a));
        assert_eq!(words.link("tail").unwrap(), None);
        assert_eq!(words.get("start").unwrap(), "10.0.0.1", "out of order works too");
        assert!(words.get("sta").is_err());
        assert!(Line::checked(line.bytes(), 301).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_line_is_noticed() {
        let line = Writer::new("blank").finish(7).unwrap();
        for bit in 0..SIZE * 8 {
            let mut bytes = *line.bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Line::checked(&bytes, 7).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_never_cut() {
        for (length, excess) in [(ROOM - 3, None), (ROOM - 2, Some(1)), (ROOM + 8, Some(11))] {
            let mut writer = Writer::new("");
            writer.word("a", "x".repeat(length));
            assert_eq!(writer.finish(0).err(), excess, "{length}");
        }
    }

    #[test]
    fn any_bytes_make_one_word() {
        let odd = b"/run/net ns/\n\xff%41=";
        let text = Escaped(odd).to_string();
        assert!(!text.contains([' ', '\n']));
        assert_eq!(unescape(&text).unwrap(), odd);
        assert!(unescape("%4").is_err() && unescape("%zz").is_err());
    }
}

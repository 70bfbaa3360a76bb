//! The text of a file: only of a regular file, only UTF-8 (a byte order mark is skipped), with its lines counted and
//! the length of each item limited. Nothing here blocks on a pipe.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use files::regular;

/// The maximum size of one item, in bytes. The store of Kubernetes accepts no object above 1.5 MiB.
const LONGEST: u64 = 16 << 20;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// What is known of how far a text was read.
#[derive(Debug)]
pub(super) struct Meter {
    line: Cell<u64>,
    left: Cell<u64>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { line: Cell::new(1), left: Cell::new(LONGEST) }
    }
}

impl Meter {
    /// The line that is being read, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line.get()
    }

    /// Another item begins.
    pub(super) fn refill(&self) {
        self.left.set(LONGEST);
    }

    fn count(&self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        let left = self.left.get().checked_sub(length);
        self.left.set(left.ok_or_else(|| io::Error::other(format!("one Node has more than {} MiB", LONGEST >> 20)))?);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.line.set(self.line.get() + lines);
        Ok(())
    }
}

/// A text that is metered.
pub(super) struct Metered<R> {
    inner: R,
    meter: Rc<Meter>,
}

impl<R: BufRead> Metered<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, meter: Rc::default() }
    }

    pub(super) fn meter(&self) -> Rc<Meter> {
        self.meter.clone()
    }

    /// The first byte of the buffer that is not a blank. Consumes nothing.
    pub(super) fn first(&mut self) -> io::Result<Option<u8>> {
        Ok(self.inner.fill_buf()?.trim_ascii_start().first().copied())
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> io::Result<Option<u8>> {
        let Some(byte) = self.inner.fill_buf()?.first().copied() else { return Ok(None) };
        self.inner.consume(1);
        self.meter.count(&[byte])?;
        Ok(Some(byte))
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.meter.count(&buffer[..length])?;
        Ok(length)
    }
}

/// Opens the text of a file.
pub(super) fn open(path: &Path) -> io::Result<(regular::File, Metered<BufReader<std::fs::File>>)> {
    let file = regular::open(path)?;
    let mut reader = BufReader::with_capacity(PIECE, file.inner()?);
    begin(&mut reader)?;
    Ok((file, Metered::new(reader)))
}

/// Skips the byte order mark of UTF-8, and refuses UTF-16, with one or without.
pub(super) fn begin(reader: &mut impl BufRead) -> io::Result<()> {
    let bytes = reader.fill_buf()?;
    let head = &bytes[..bytes.len().min(4)];
    if head.starts_with(b"\xfe\xff") || head.starts_with(b"\xff\xfe") || head.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text (UTF-16?); save it as UTF-8"));
    }
    let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    reader.consume(mark);
    Ok(())
}

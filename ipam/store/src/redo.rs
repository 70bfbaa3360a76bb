//! Redo records: the whole of a commit in one piece, header line first, then the lines as they are to be.
//! Only their bytes: the transaction writes them.

use crate::Corruption;
use crate::layout::COMMIT_MOST;
use crate::line::{Line, SIZE, Words, Writer};
use crate::now::BootId;

/// What every commit records beside its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// Slots in use: an address used at least once has one.
    pub(crate) slots: u32,
    /// Pools in use.
    pub(crate) pools: u32,
    /// The boot whose predecessors' leases were judged.
    pub(crate) swept: BootId,
}

/// The first line of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Commits are counted.
    pub(crate) seq: u64,
    /// The boot that wrote it: the page cache it was written to lives as long.
    pub(crate) boot: BootId,
    /// State after the commit.
    pub(crate) state: State,
    /// Lines that follow.
    pub(crate) count: usize,
    /// CRC-32 over them.
    pub(crate) sum: u32,
}

impl Header {
    fn line(&self, at: u32) -> Result<Line, usize> {
        let mut writer = Writer::new("redo");
        writer.word("seq", format_args!("{:x}", self.seq)).word("boot", self.boot);
        writer.word("slots", self.state.slots).word("pools", self.state.pools).word("swept", self.state.swept);
        writer.word("count", self.count).word("sum", format_args!("{:08x}", self.sum));
        writer.finish(at)
    }

    /// From its line.
    pub(crate) fn read(line: &Line) -> Result<Self, Corruption> {
        let (kind, mut words) = line.words()?;
        if kind != "redo" {
            return Err(Corruption("it is not a redo record"));
        }
        let seq = number(&mut words, "seq")?;
        let boot = boot(&mut words, "boot")?;
        let state = State { slots: words.parse("slots")?, pools: words.parse("pools")?, swept: boot_id(&mut words)? };
        let (count, sum) = (words.parse("count")?, number(&mut words, "sum")?);
        if count > COMMIT_MOST {
            return Err(Corruption("its record is too long"));
        }
        Ok(Self { seq, boot, state, count, sum: u32::try_from(sum).map_err(|_| Corruption("a word cannot be read"))? })
    }
}

fn number(words: &mut Words<'_>, key: &str) -> Result<u64, Corruption> {
    u64::from_str_radix(words.get(key)?, 16).map_err(|_| Corruption("a word cannot be read"))
}

fn boot(words: &mut Words<'_>, key: &str) -> Result<BootId, Corruption> {
    BootId::parse(words.get(key)?).ok_or(Corruption("a word cannot be read"))
}

fn boot_id(words: &mut Words<'_>) -> Result<BootId, Corruption> {
    boot(words, "swept")
}

/// The bytes of a record that begins at line `at`.
pub(crate) fn encode(at: u32, seq: u64, boot: BootId, state: State, lines: &[(u32, Line)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((lines.len() + 1) * SIZE);
    bytes.extend_from_slice(Line::empty().bytes());
    for (_, line) in lines {
        bytes.extend_from_slice(line.bytes());
    }
    let sum = crc32fast::hash(&bytes[SIZE..]);
    let header = Header { seq, boot, state, count: lines.len(), sum };
    let line = header.line(at).unwrap_or_else(|_| Line::empty());
    bytes[..SIZE].copy_from_slice(line.bytes());
    bytes
}

/// The lines of a record, each with the place it carries; `None` when they are not what the header says.
pub(crate) fn decode(header: &Header, bytes: &[u8]) -> Option<Vec<(u32, Line)>> {
    if bytes.len() != header.count * SIZE || crc32fast::hash(bytes) != header.sum {
        return None;
    }
    bytes
        .chunks_exact(SIZE)
        .map(|bytes| {
            let mut line = Line::empty();
            line.bytes_mut().copy_from_slice(bytes);
            line.number().map(|number| (number, line))
        })
        .collect()
}

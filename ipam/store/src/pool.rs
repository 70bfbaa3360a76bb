//! One pool: a range of addresses, how far it was used, and the queue of released ones.
//! Pure codec of one line.

use std::net::IpAddr;

use crate::Corruption;
use crate::line::{Line, Writer};

/// The line of a range. Two ranges with the same ends are the same pool, whatever their subnet or gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// First address.
    pub start: IpAddr,
    /// Last address.
    pub end: IpAddr,
    /// The next address that may never have been used; `None` when there is none left.
    pub cursor: Option<IpAddr>,
    /// Slot released the longest ago.
    pub(crate) head: Option<u32>,
    /// Slot released last.
    pub(crate) tail: Option<u32>,
    /// Slots of this pool that are leased.
    pub leased: u32,
    /// Slots of this pool that are free.
    pub free: u32,
}

impl Pool {
    /// An unused pool.
    pub(crate) fn new(start: IpAddr, end: IpAddr) -> Self {
        Self { start, end, cursor: Some(start), head: None, tail: None, leased: 0, free: 0 }
    }

    /// As a line.
    pub(crate) fn line(&self, at: u32) -> Result<Line, usize> {
        let Self { start, end, cursor, head, tail, leased, free } = self;
        let mut writer = Writer::new("pool");
        writer.word("start", start).word("end", end);
        match cursor {
            Some(address) => writer.word("cursor", address),
            None => writer.word("cursor", "-"),
        };
        writer.link("head", *head).link("tail", *tail).word("leased", leased).word("free", free);
        writer.finish(at)
    }

    /// From its line.
    pub(crate) fn read(line: &Line) -> Result<Self, Corruption> {
        let (kind, mut words) = line.words()?;
        if kind != "pool" {
            return Err(Corruption("it is not a pool"));
        }
        let (start, end) = (words.parse("start")?, words.parse("end")?);
        let cursor = match words.get("cursor")? {
            "-" => None,
            text => Some(text.parse().map_err(|_| Corruption("a word cannot be read"))?),
        };
        let (head, tail) = (words.link("head")?, words.link("tail")?);
        Ok(Self { start, end, cursor, head, tail, leased: words.parse("leased")?, free: words.parse("free")? })
    }
}

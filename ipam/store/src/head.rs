//! What is read of a store before anything else: superblock, mark, both redo records.
//! Decides which commits are valid. Never writes: readers use it too.

use std::path::Path;

use crate::Corruption;
use crate::disk::Disk;
use crate::error::Error;
use crate::layout::{Layout, MARK, REDO, SUPER, Superblock, VERSION};
use crate::line::{Line, SIZE, Writer};
use crate::now::BootId;
use crate::redo::{Header, State, decode};

/// Lines of a record that are read at once with its header: most commits are no longer.
const NEAR: usize = 8;

/// The state of the store: the newest commit, and the lines that it and the one before say.
#[derive(Debug)]
pub(crate) struct Head {
    /// Sizes of the file.
    pub(crate) layout: Layout,
    /// Counts after the newest commit.
    pub(crate) state: State,
    /// Number of the newest commit.
    pub(crate) seq: u64,
    /// Which of the two records holds it: 0 or 1.
    pub(crate) side: usize,
    /// Lines of both records, older first: later entries win. They may not be in their places yet.
    pub(crate) overlay: Vec<(u32, Line)>,
    /// All of them are in their places, in a page cache that is still alive.
    pub(crate) settled: bool,
    /// Bytes of the file.
    pub(crate) length: u64,
}

struct Record {
    header: Header,
    lines: Vec<(u32, Line)>,
}

impl Head {
    /// Read and judge. `boot` is the present boot.
    pub(crate) fn read<D: Disk>(disk: &D, path: &Path, boot: BootId) -> Result<Self, Error> {
        let mut front = [0u8; (2 + NEAR) * SIZE];
        let mut back = [0u8; NEAR * SIZE];
        let reading = || Error::io("read", path);
        let damaged = |corruption: Corruption, line: u32| corruption.at(path, line.into());
        let got = disk.read_at(&mut front, 0).map_err(reading())?;
        if got < 2 * SIZE {
            return Err(damaged(Corruption("the file is cut short"), u32::try_from(got / SIZE).unwrap_or(0)));
        }
        let line = Line::checked(&front[..SIZE], SUPER).map_err(|corruption| damaged(corruption, SUPER))?;
        let layout = match Layout::read(&line).map_err(|corruption| damaged(corruption, SUPER))? {
            Superblock::Known(layout, _) => layout,
            Superblock::Newer(version) => {
                return Err(Error::NewerFormat { path: path.to_path_buf(), version, newest: VERSION });
            }
        };
        // A torn mark is ignored: both records are then put in their places again.
        let marked = Line::checked(&front[SIZE..2 * SIZE], MARK).ok().and_then(|line| marked(&line));
        let first = record(disk, REDO[0], &front[2 * SIZE..got]).map_err(reading())?;
        let got = disk.read_at(&mut back, offset(REDO[1])).map_err(reading())?;
        let second = record(disk, REDO[1], &back[..got]).map_err(reading())?;
        let length = disk.length().map_err(reading())?;
        let (older, newest, side) = match (first, second) {
            (Some(first), Some(second)) if first.header.seq == second.header.seq + 1 => (Some(second), first, 0),
            (Some(first), Some(second)) if second.header.seq == first.header.seq + 1 => (Some(first), second, 1),
            (Some(_), Some(_)) => {
                return Err(damaged(Corruption("the redo records do not follow each other"), REDO[0]));
            }
            (Some(first), None) => (None, first, 0),
            (None, Some(second)) => (None, second, 1),
            (None, None) => return Err(damaged(Corruption("no redo record is whole"), REDO[0])),
        };
        let Record { header, lines } = newest;
        if marked.is_some_and(|seq| seq > header.seq) {
            return Err(damaged(Corruption("the newest commit is not whole"), REDO[1 - side]));
        }
        let mut overlay = older.map_or_else(Vec::new, |older| older.lines);
        overlay.extend(lines);
        // A power loss can leave a commit and take the lines that the file grew by for it: the record has those it needs.
        let needed = u64::from(layout.slots_at()) + u64::from(header.state.slots);
        let is_missing = |line: &u32| find(&overlay, *line).is_none();
        let whole = u32::try_from(length / SIZE as u64).unwrap_or(u32::MAX);
        if let Some(line) = (whole..u32::try_from(needed).unwrap_or(u32::MAX)).find(is_missing) {
            return Err(damaged(Corruption("the file is cut short"), line));
        }
        let settled = marked == Some(header.seq) && header.boot == boot;
        Ok(Self { layout, state: header.state, seq: header.seq, side, overlay, settled, length })
    }

    /// The line as the records have it.
    pub(crate) fn overlaid(&self, number: u32) -> Option<&Line> {
        find(&self.overlay, number)
    }
}

/// The newest line with a number.
pub(crate) fn find(lines: &[(u32, Line)], number: u32) -> Option<&Line> {
    lines.iter().rev().find(|(at, _)| *at == number).map(|(_, line)| line)
}

/// Where a line begins.
pub(crate) fn offset(line: u32) -> u64 {
    u64::from(line) * SIZE as u64
}

/// The line that says: this commit is in its place.
pub(crate) fn mark(seq: u64) -> Line {
    Writer::new("mark").word("seq", format_args!("{seq:x}")).finish(MARK).unwrap_or_else(|_| Line::empty())
}

fn marked(line: &Line) -> Option<u64> {
    let (kind, mut words) = line.words().ok()?;
    (kind == "mark").then(|| u64::from_str_radix(words.get("seq").ok()?, 16).ok())?
}

/// A record if it is whole; `near` are its first lines.
fn record<D: Disk>(disk: &D, at: u32, near: &[u8]) -> std::io::Result<Option<Record>> {
    let Some(bytes) = near.get(..SIZE) else { return Ok(None) };
    let Ok(header) = Line::checked(bytes, at).and_then(|line| Header::read(&line)) else { return Ok(None) };
    let size = header.count * SIZE;
    let lines = if let Some(bytes) = near.get(SIZE..SIZE + size) {
        decode(&header, bytes)
    } else {
        let mut bytes = vec![0; size];
        let got = disk.read_at(&mut bytes, offset(at + 1))?;
        decode(&header, &bytes[..got])
    };
    Ok(lines.map(|lines| Record { header, lines }))
}

//! Stores as version 1 wrote them, kept in `tests/golden` as text: the place of each line, its words, its trailer; what
//! is not there is blank. They are never written again. A new version of the format adds its own beside them.

use std::collections::BTreeSet;

use super::Flaw;
use super::head::mark;
use super::layout::{FIRST_POOLS, Layout, MARK, REDO, REDO_LINES, Superblock};
use super::line::{Line, ROOM, SIZE, blank};
use super::pool::Pool;
use super::redo::{Header, encode};
use super::slot::Slot;

/// Leases and queues, all in their places.
pub(crate) const SETTLED: &str = include_str!("../../tests/golden/v1-settled.txt");
/// The same and one commit more, whose writer was killed before it put a line in its place.
pub(crate) const KILLED: &str = include_str!("../../tests/golden/v1-killed.txt");
const FORMAT: &str = include_str!("../../FORMAT.md");

/// The bytes of a store. Padding and blank lines are made here, not by the code that is tested.
pub(crate) fn store(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let (place, rest) = line.split_once(' ').unwrap();
        let (words, trailer) = rest.rsplit_once(" line=").unwrap();
        while bytes.len() / SIZE < place.parse().unwrap() {
            let line = format!("{:485}line={:08x} crc=", "blank", bytes.len() / SIZE);
            bytes.extend_from_slice(format!("{line}{:08x}\n", crc32fast::hash(line.as_bytes())).as_bytes());
        }
        bytes.extend_from_slice(format!("{words:485}line={trailer}\n").as_bytes());
    }
    bytes
}

fn lines(text: &str) -> Vec<Line> {
    let line = |bytes: &[u8]| {
        let mut line = Line::empty();
        line.bytes_mut().copy_from_slice(bytes);
        Line::checked(bytes, line.number().unwrap()).unwrap()
    };
    store(text).chunks(SIZE).map(line).collect()
}

/// As today's code would write it.
fn written_anew(all: &[Line], place: usize) -> Result<Line, Flaw> {
    let line = all[place];
    let at = line.number().unwrap();
    Ok(match line.words()?.0 {
        "blank" => blank(at),
        "podlan-ipam" => match Layout::read(&line)? {
            Superblock::Known(layout, network) => layout.superblock(network).unwrap(),
            Superblock::Newer(_) => return Err(Flaw("newer")),
        },
        "mark" => mark(u64::from_str_radix(line.words()?.1.get("seq")?, 16).unwrap()),
        "redo" => {
            let Header { seq, boot, state, count, sum: _ } = Header::read(&line)?;
            let lines: Vec<_> =
                all[place + 1..=place + count].iter().map(|line| (line.number().unwrap(), *line)).collect();
            let record = encode(at, seq, boot, state, &lines);
            Line::checked(&record[..SIZE], at)?
        }
        "pool" => Pool::read(&line)?.line(at).unwrap(),
        "leased" | "free" => Slot::read(&line)?.line(at).unwrap(),
        // Made of columns, not of words.
        "owners" | "addrs" => line,
        _ => return Err(Flaw("of no known kind")),
    })
}

/// Whoever adds a word or changes one raises the version: an older podlan on the node must be able to refuse it.
#[test]
fn lines_of_released_versions_never_change() {
    for text in [SETTLED, KILLED] {
        let all = lines(text);
        for place in 0..all.len() {
            let anew = written_anew(&all, place).unwrap_or_else(|flaw| panic!("line {place}: {flaw:?}"));
            assert_eq!(anew, all[place], "line {place}");
        }
    }
}

/// Every word of a line is in FORMAT.md's drawing, and the sizes there are those of the code.
#[test]
fn the_drawing_is_true() {
    let drawing = FORMAT.split("## ").find(|section| section.starts_with("Drawing")).unwrap();
    let quoted = drawing.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> =
        quoted.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')).collect();
    for line in lines(SETTLED) {
        let (kind, _) = line.words().unwrap();
        assert!(kind == "blank" || drawing.contains(kind), "{kind}");
        let text = std::str::from_utf8(&line.bytes()[..ROOM]).unwrap();
        for (key, _) in text.split(' ').filter_map(|word| word.split_once('=')) {
            assert!(named.contains(key), "{kind}: {key} is not in the drawing");
        }
    }
    let record = |name: &str, first: u32| format!("| {first} … {} | redo record {name} |", first + REDO_LINES - 1);
    let pools = REDO[1] + REDO_LINES;
    for text in [
        format!("lines of {SIZE} bytes"),
        format!("padded with spaces: {ROOM} bytes"),
        format!("{} bytes -", SIZE - ROOM),
        format!("| {MARK} | mark |"),
        record("A", REDO[0]),
        record("B", REDO[1]),
        format!("| {pools} … | pools ({FIRST_POOLS}, more if needed) |"),
    ] {
        assert!(FORMAT.contains(&text), "not in FORMAT.md: {text}");
    }
    let Superblock::Known(layout, _) = Layout::read(&lines(SETTLED)[0]).unwrap() else { panic!("newer") };
    assert_eq!((layout.pool(0), layout.slots_at()), (pools, 292));
}

//! Today's code against the stores of released versions, and against the drawing in FORMAT.md.

use std::collections::BTreeSet;

use super::{KILLED, SETTLED, store};
use crate::Corruption;
use crate::head::mark;
use crate::layout::{FIRST_POOLS, Layout, MARK, REDO, REDO_LINES, Superblock};
use crate::line::{Line, ROOM, SIZE, blank};
use crate::pool::Pool;
use crate::redo::{Header, encode};
use crate::slot::Slot;

const FORMAT: &str = include_str!("../../FORMAT.md");

fn lines(text: &str) -> Vec<Line> {
    let line = |bytes: &[u8]| {
        let mut line = Line::empty();
        line.bytes_mut().copy_from_slice(bytes);
        Line::checked(bytes, line.number().unwrap()).unwrap()
    };
    store(text).chunks(SIZE).map(line).collect()
}

/// As today's code would write it.
fn written_again(all: &[Line], place: usize) -> Result<Line, Corruption> {
    let line = all[place];
    let at = line.number().unwrap();
    Ok(match line.words()?.0 {
        "blank" => blank(at),
        "podlan-ipam" => match Layout::read(&line)? {
            Superblock::Known(layout, network) => layout.superblock(network).unwrap(),
            Superblock::Newer(_) => return Err(Corruption("newer")),
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
        _ => return Err(Corruption("of no known kind")),
    })
}

/// A change that adds a word or changes one must raise the version, so that an older podlan on the node refuses the store.
#[test]
fn lines_of_released_versions_never_change() {
    for text in [SETTLED, KILLED] {
        let all = lines(text);
        for place in 0..all.len() {
            let again = written_again(&all, place).unwrap_or_else(|corruption| panic!("line {place}: {corruption:?}"));
            assert_eq!(again, all[place], "line {place}");
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

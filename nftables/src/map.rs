//! Maps of exact keys: a key of several parts leads to a value of several parts, and a map without values is a set. The
//! map is made with its table; its elements come and go one by one, and the rules that look them up stay as they are.

use netlink::wire::{Attribute, Attributes};

use super::nfnetlink::{self, Error, Message, Nfnetlink};
use super::observed::comment_of;
use super::table::{Table, TableFamily, message};

/// What a part of a key or of a value is, by its number in nft(8), which prints it accordingly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 address.
    Ipv4 = 7,
    /// An IPv6 address.
    Ipv6 = 8,
    /// The number of a transport protocol.
    Protocol = 12,
    /// A port.
    Port = 13,
}

/// A map, or a set where it has no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Unique among the sets and maps of its table.
    pub name: &'static str,
    /// The parts of a key.
    pub key: &'static [Kind],
    /// The parts of a value; none for a set.
    pub value: &'static [Kind],
}

/// One element. Each part of key and value is padded with zeroes to a multiple of four bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The key.
    pub key: Vec<u8>,
    /// The value; empty in a set.
    pub value: Vec<u8>,
    /// The text for people that `nft list` shows, at most 127 bytes.
    pub comment: String,
}

/// Elements of one map that come or go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The map's name.
    pub map: &'static str,
    /// Whether they come.
    pub add: bool,
    /// The elements; only the keys of those that go matter.
    pub elements: Vec<Element>,
}

/// `NFT_SET_MAP`.
const MAP: u32 = 8;
/// The bits of each part in the number of a concatenation, as nft(8) has it.
const KIND_BITS: u32 = 6;
/// Elements in one message: an attribute holds 64 KiB, and an element some 250 bytes at most.
const MOST: usize = 200;
/// The longest comment, bytes, its end included (libnftnl's `NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT: usize = 128;

impl Kind {
    fn length(self) -> u32 {
        if self == Self::Ipv6 { 16 } else { 4 }
    }
}

fn length(kinds: &[Kind]) -> u32 {
    kinds.iter().map(|kind| kind.length()).sum()
}

fn number(kinds: &[Kind]) -> u32 {
    kinds.iter().fold(0, |number, kind| number << KIND_BITS | *kind as u32)
}

impl Map {
    fn flags(&self) -> u32 {
        if self.value.is_empty() { 0 } else { MAP }
    }

    /// Flags and length of the key, bytes.
    pub(super) fn shape(&self) -> (u32, u32) {
        (self.flags(), length(self.key))
    }

    /// NFTA_SET_TABLE 1, _NAME 2, _FLAGS 3, _KEY_TYPE 4, _KEY_LEN 5, _DATA_TYPE 6, _DATA_LEN 7, _ID 10.
    pub(super) fn creation(&self, table: &Table, id: u32) -> Message {
        let mut attributes = vec![
            Attribute::text(1, table.name),
            Attribute::text(2, self.name),
            Attribute::be32(3, self.flags()),
            Attribute::be32(4, number(self.key)),
            Attribute::be32(5, length(self.key)),
        ];
        if !self.value.is_empty() {
            attributes.push(Attribute::be32(6, number(self.value)));
            attributes.push(Attribute::be32(7, length(self.value)));
        }
        attributes.push(Attribute::be32(10, id));
        message(table.family, nfnetlink::NEW_SET, attributes)
    }
}

/// NFTA_LIST_ELEM 1 {NFTA_SET_ELEM_KEY 1 {NFTA_DATA_VALUE 1}, _DATA 2 {NFTA_DATA_VALUE 1}, _USERDATA 6: libnftnl's
/// NFTNL_UDATA_SET_ELEM_COMMENT 0}.
fn element(element: &Element, add: bool) -> Attribute {
    let value = |bytes: &[u8]| [Attribute::bytes(1, bytes)];
    let mut inside = vec![Attribute::nested(1, &value(&element.key))];
    if add && !element.value.is_empty() {
        inside.push(Attribute::nested(2, &value(&element.value)));
    }
    if add {
        let comment = &element.comment[..element.comment.floor_char_boundary(COMMENT - 1)];
        let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
        inside.push(Attribute::bytes(6, &[&[0, length], comment.as_bytes(), &[0]].concat()));
    }
    Attribute::nested(1, &inside)
}

/// Carries out all changes to maps of these tables, or none; a change of a map that none of them has is left out. What comes may be there already; with another value it is refused with `EEXIST` (older
/// kernels: `EBUSY`). What goes
/// must be there: `ENOENT`.
///
/// # Errors
/// When the kernel refuses.
pub fn change_elements(socket: &mut Nfnetlink, tables: &[Table], changes: &[Change]) -> Result<(), Error> {
    let of_map = |change: &&Change| tables.iter().find(|table| table.maps.iter().any(|map| map.name == change.map));
    let messages = changes.iter().filter_map(|change| Some((of_map(&change)?, change))).flat_map(|(table, change)| {
        let kind = if change.add { nfnetlink::NEW_ELEMENTS } else { nfnetlink::DELETE_ELEMENTS };
        change.elements.chunks(MOST).map(move |some| {
            let list: Vec<Attribute> = some.iter().map(|one| element(one, change.add)).collect();
            // NFTA_SET_ELEM_LIST_TABLE 1, _SET 2, _ELEMENTS 3.
            let attributes =
                vec![Attribute::text(1, table.name), Attribute::text(2, change.map), Attribute::nested(3, &list)];
            message(table.family, kind, attributes)
        })
    });
    let messages: Vec<Message> = messages.collect();
    if messages.is_empty() { Ok(()) } else { socket.transaction(messages) }
}

/// All elements of a map, in the order of their keys; none where there is no such map.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn elements(socket: &mut Nfnetlink, family: TableFamily, table: &str, map: &str) -> Result<Vec<Element>, Error> {
    let of_map = [Attribute::text(1, table), Attribute::text(2, map)];
    let mut found = Vec::new();
    for (_, part) in socket.dump(family as u8, nfnetlink::GET_ELEMENTS, &of_map)? {
        found.extend(Attributes(&part).inside(3).filter_map(|(_, bytes)| read(Attributes(bytes))));
    }
    found.sort_unstable();
    Ok(found)
}

fn read(element: Attributes<'_>) -> Option<Element> {
    Some(Element {
        key: element.inside(1).find(1)?.to_vec(),
        value: element.inside(2).find(1).unwrap_or_default().to_vec(),
        comment: element.find(6).and_then(comment_of).unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_as_it_was_written_and_a_long_comment_is_cut() {
        let written = Element {
            key: vec![6, 0, 0, 0, 31, 144, 0, 0],
            value: vec![10, 0, 0, 2, 0, 80, 0, 0],
            comment: "é".repeat(100),
        };
        let attribute = element(&written, true);
        let read = read(Attributes(Attributes(attribute.encoded()).inside(1).0)).unwrap();
        assert_eq!((&read.key, &read.value), (&written.key, &written.value));
        assert_eq!(read.comment, "é".repeat(63));
    }

    #[test]
    fn kinds_are_numbered_as_nft_numbers_a_concatenation() {
        let map = Map { name: "m", key: &[Kind::Ipv6, Kind::Protocol, Kind::Port], value: &[Kind::Ipv6, Kind::Port] };
        assert_eq!((number(map.key), length(map.key), map.shape()), (8 << 12 | 12 << 6 | 13, 24, (8, 24)));
    }
}

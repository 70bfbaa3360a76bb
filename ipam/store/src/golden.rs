//! Stores as version 1 wrote them, kept in `tests/golden` as text: the place of each line, its words, its trailer; lines
//! that are not listed are blank. They are never written again. A new version of the format adds its own beside them.
#![expect(clippy::unwrap_used, reason = "only tests read these")]

use crate::line::SIZE;

#[cfg(test)]
mod tests;

/// Leases and queues, all in their places.
pub const SETTLED: &str = include_str!("../tests/golden/v1-settled.txt");
/// The same and one commit more, whose writer was killed before it put a line in its place.
pub const KILLED: &str = include_str!("../tests/golden/v1-killed.txt");

/// The bytes of a store. Padding and blank lines are made here, not by the code that is tested.
#[must_use]
pub fn store(text: &str) -> Vec<u8> {
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

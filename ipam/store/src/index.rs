//! The two hash indexes: buckets in fixed columns of a line, each the head of a chain through the slots.
//! Pure. Hashes are part of the format.

use std::net::IpAddr;

use cni::Attachment;

use crate::Corruption;
use crate::layout::{Layout, PER_LINE};
use crate::line::{Line, Writer, hex, put_hex};

/// Column of the first bucket.
const FIRST: usize = 8;
/// Columns of a bucket: eight digits and a space.
const WIDTH: usize = 9;
const NONE: &[u8; 8] = b"--------";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    /// Leased slots by container id and ifname.
    Owners,
    /// All slots by address.
    Addresses,
}

/// Place of a bucket: its line, and its column in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Line in the file.
    pub(crate) line: u32,
    entry: usize,
}

impl Index {
    fn kind(self) -> &'static str {
        match self {
            Self::Owners => "owners",
            Self::Addresses => "addrs",
        }
    }

    /// The bucket of a hash.
    pub(crate) fn bucket(self, layout: &Layout, hash: u64) -> Bucket {
        let bucket = u32::try_from(hash % u64::from(layout.buckets)).unwrap_or(0);
        let first = match self {
            Self::Owners => layout.owners_at(),
            Self::Addresses => layout.addresses_at(),
        };
        Bucket { line: first + bucket / PER_LINE, entry: (bucket % PER_LINE) as usize }
    }

    /// A line of the index with these chain heads.
    pub(crate) fn line(self, number: u32, heads: &[Option<u32>]) -> Line {
        let mut writer = Writer::new(self.kind());
        for (entry, head) in heads.iter().enumerate() {
            writer.column(FIRST + entry * WIDTH, &digits(*head));
        }
        writer.finish(number).unwrap_or_else(|_| Line::empty())
    }

    /// The head of a bucket's chain.
    pub(crate) fn head(self, line: &Line, bucket: Bucket) -> Result<Option<u32>, Corruption> {
        if !line.is(self.kind()) {
            return Err(Corruption("it is not a line of the index"));
        }
        match line.column(FIRST + bucket.entry * WIDTH, NONE.len()) {
            digits if digits == NONE => Ok(None),
            digits => hex(digits).map(Some).ok_or(Corruption("a bucket cannot be read")),
        }
    }

    /// The line with another head in one bucket.
    pub(crate) fn with_head(self, line: &Line, bucket: Bucket, head: Option<u32>) -> Line {
        let mut writer = Writer::new(self.kind());
        writer.column(FIRST, line.column(FIRST, WIDTH * PER_LINE as usize));
        writer.column(FIRST + bucket.entry * WIDTH, &digits(head));
        writer.finish(bucket.line).unwrap_or_else(|_| Line::empty())
    }
}

fn digits(head: Option<u32>) -> [u8; 8] {
    head.map_or(*NONE, |slot| {
        let mut digits = [0; 8];
        put_hex(&mut digits, slot);
        digits
    })
}

/// FNV-1a, 64 bit, folded once more so that the low bits depend on all.
fn fnv(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| *part) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^ hash >> 32
}

/// Hash of an owner.
pub(crate) fn owner_hash(owner: &Attachment) -> u64 {
    fnv(&[owner.container_id.as_str().as_bytes(), b"\0", owner.ifname.as_str().as_bytes()])
}

/// Hash of an address.
pub(crate) fn address_hash(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => fnv(&[&address.octets()]),
        IpAddr::V6(address) => fnv(&[&address.octets()]),
    }
}

//! Where things lie in the file, and the superblock that says so.
//! Pure. See FORMAT.md for the drawing.

use crate::Corruption;
use crate::line::{Line, Writer};

/// The format this program writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;
/// Line of the superblock. Its form (first word, `version=`, trailer) is the same in every version.
pub(crate) const SUPER: u32 = 0;
/// Line that says which commit is known to be in its place.
pub(crate) const MARK: u32 = 1;
/// First lines of the two redo records.
pub(crate) const REDO: [u32; 2] = [2, 2 + REDO_LINES];
/// Lines of a redo record: a header, then the new lines.
pub(crate) const REDO_LINES: u32 = 128;
/// Most lines that one commit changes.
pub(crate) const COMMIT_MOST: usize = REDO_LINES as usize - 1;
const POOLS_AT: u32 = 2 + 2 * REDO_LINES;
/// Hash buckets in one index line.
pub(crate) const PER_LINE: u32 = 32;
/// Pool lines of a new store.
pub(crate) const FIRST_POOLS: u32 = 32;
/// Buckets of a new store, at most; an index grows with its slots.
pub(crate) const FIRST_BUCKETS_MOST: u32 = 4096;
/// Buckets an index never grows past.
const BUCKETS_MOST: u32 = 1 << 24;
/// Slots a store never grows past: 2^28 of them are 128 GiB.
pub(crate) const SLOTS_MOST: u32 = 1 << 28;
/// An index grows when it holds this many slots for each bucket, by so much.
const LOAD: u32 = 2;
const GROWTH: u32 = 4;

const KIND: &str = "podlan-ipam";

/// The sizes that a store was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Buckets in each of the two indexes: a power of two, at least [`PER_LINE`].
    pub(crate) buckets: u32,
    /// Lines for pools.
    pub(crate) pools: u32,
}

/// What a line of the file is for.
pub(crate) enum Superblock<'a> {
    /// A store of ours.
    Known(Layout, &'a str),
    /// A store of a newer program.
    Newer(u32),
}

impl Layout {
    /// Sizes for a store that is to hold about this many addresses.
    pub(crate) fn for_addresses(addresses: u64) -> Self {
        let wanted = u32::try_from(addresses.min(u64::from(FIRST_BUCKETS_MOST))).unwrap_or(FIRST_BUCKETS_MOST);
        Self { buckets: wanted.next_power_of_two().max(PER_LINE), pools: FIRST_POOLS }
    }

    /// Is the index too small for this many slots, and can it grow?
    pub(crate) fn is_crowded(&self, slots: u32) -> bool {
        self.buckets < BUCKETS_MOST && slots >= LOAD * self.buckets
    }

    /// With an index of the next size.
    pub(crate) fn grown(self) -> Self {
        Self { buckets: (self.buckets * GROWTH).min(BUCKETS_MOST), ..self }
    }

    /// With an index and a table of pools that are large enough for so many slots and pools.
    pub(crate) fn with_room(mut self, slots: u32, pools: u32) -> Self {
        while self.is_crowded(slots) {
            self = self.grown();
        }
        while self.pools < pools {
            self.pools *= 2;
        }
        self
    }

    /// Line of a pool.
    pub(crate) fn pool(&self, pool: u32) -> u32 {
        POOLS_AT + pool
    }

    /// First line of the owner index.
    pub(crate) fn owners_at(&self) -> u32 {
        POOLS_AT + self.pools
    }

    /// First line of the address index.
    pub(crate) fn addresses_at(&self) -> u32 {
        self.owners_at() + self.buckets / PER_LINE
    }

    /// First line of the slots.
    pub(crate) fn slots_at(&self) -> u32 {
        self.addresses_at() + self.buckets / PER_LINE
    }

    /// Line of a slot.
    pub(crate) fn slot(&self, slot: u32) -> u32 {
        self.slots_at() + slot
    }

    /// The superblock for these sizes. `network` is text for people and for listing: it was checked to fit.
    pub(crate) fn superblock(&self, network: &str) -> Result<Line, usize> {
        let mut writer = Writer::new(KIND);
        writer.word("version", VERSION).word("buckets", self.buckets).word("pools", self.pools);
        writer.word("slots_at", self.slots_at()).word("network", network);
        writer.finish(SUPER)
    }

    /// The sizes from a superblock.
    pub(crate) fn read(line: &Line) -> Result<Superblock<'_>, Corruption> {
        let (kind, mut words) = line.words()?;
        if kind != KIND {
            return Err(Corruption("it is not a superblock"));
        }
        let version: u32 = words.parse("version")?;
        if version > VERSION {
            return Ok(Superblock::Newer(version));
        }
        let layout = Self { buckets: words.parse("buckets")?, pools: words.parse("pools")? };
        let sound = layout.buckets.is_power_of_two()
            && (PER_LINE..=BUCKETS_MOST).contains(&layout.buckets)
            && (1..=1 << 20).contains(&layout.pools)
            && words.parse::<u32>("slots_at")? == layout.slots_at();
        if !sound {
            return Err(Corruption("its sizes do not add up"));
        }
        Ok(Superblock::Known(layout, words.get("network")?))
    }
}

//! Rewriting a store: making an empty one, growing the index, dropping unused pools.
//! A store file is always made this way: a draft, synced, renamed into its place. The caller holds the lock.

use std::io;
use std::path::Path;

use crate::disk::{Disk, StoreDir};
use crate::error::Error;
use crate::head::{mark, offset};
use crate::index::{Index, address_hash, owner_hash};
use crate::layout::{Layout, PER_LINE, REDO, REDO_LINES};
use crate::line::{Line, SIZE, blank};
use crate::now::BootId;
use crate::pool::Pool;
use crate::redo::{State, encode};
use crate::slot::{Slot, SlotState};
use crate::transaction::Transaction;
use crate::{Corruption, Lines};

/// Lines that one step of a draft changes at most: slot, two buckets, two pools, two neighbours in a queue.
const LINES_EACH: usize = 7;
/// Bytes written at once.
const BATCH: usize = 256 * 1024;
/// Slots read at once.
const CHUNK: u32 = 512;
/// No slot.
const NONE: u32 = u32::MAX;

/// Make an empty store. A boot that has no leases has none of an earlier boot to judge.
pub(crate) fn create<S: StoreDir>(dir: &S, network: &str, layout: Layout, boot: BootId) -> Result<S::Disk, Error> {
    publish(dir, |draft| write_empty(draft, network, layout, boot))
}

/// Rewrite the store in another layout, with those pools only that are leased from or wanted.
pub(crate) fn rebuild<S: StoreDir>(
    dir: &S,
    mut old: Transaction<'_, S::Disk>,
    network: &str,
    layout: Layout,
    boot: BootId,
    wanted: &dyn Fn(&Pool) -> bool,
) -> Result<S::Disk, Error> {
    old.settle()?;
    publish(dir, |draft| write_again(draft, &old, network, layout, boot, wanted))
}

/// Fill a draft and put it in the store's place. An error leaves the store as it was, unless only the very last step,
/// the sync of the directory, failed.
pub(crate) fn publish<S: StoreDir>(
    dir: &S,
    fill: impl FnOnce(&mut S::Disk) -> Result<(), Error>,
) -> Result<S::Disk, Error> {
    let mut draft = dir.draft().map_err(Error::io("make a draft of", dir.path()))?;
    let filled = fill(&mut draft);
    let published = filled.and_then(|()| dir.publish(draft).map_err(Error::io("replace", dir.path())));
    if published.is_err() {
        dir.discard();
    }
    published
}

/// A store that is written to before it is put in its place. A commit to it promises nothing, so it is not synced: the
/// whole draft is, when it is published.
pub struct Draft<'d, D>(pub(crate) &'d mut D);

impl<D: Disk> Disk for Draft<'_, D> {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn would_write(&self, end: u64) -> io::Result<()> {
        self.0.would_write(end)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<D: Disk> Draft<'_, D> {
    /// Makes the steps, as many with each commit as fit.
    pub(crate) fn fill<T>(
        mut self,
        path: &Path,
        boot: BootId,
        steps: impl Iterator<Item = T>,
        make: &mut impl FnMut(&mut Transaction<'_, Self>, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut steps = steps.peekable();
        while steps.peek().is_some() {
            let mut transaction = Transaction::begin(&mut self, path, boot)?;
            while transaction.room() >= LINES_EACH
                && let Some(step) = steps.next()
            {
                make(&mut transaction, step)?;
            }
            transaction.commit()?;
        }
        Ok(())
    }
}

/// A store without a slot.
pub(crate) fn write_empty<D: Disk>(draft: &mut D, network: &str, layout: Layout, boot: BootId) -> Result<(), Error> {
    let state = State { slots: 0, pools: 0, swept: boot };
    let empty = vec![NONE; layout.buckets as usize];
    Frame { network, layout, state, seq: 0, pools: &[], owners: &empty, addresses: &empty }.write(draft, boot)
}

/// The slots of a settled store in another layout, but for those of pools that are neither leased from nor wanted.
pub(crate) fn write_again<D: Disk, O: Disk>(
    draft: &mut D,
    old: &Transaction<'_, O>,
    network: &str,
    layout: Layout,
    boot: BootId,
    wanted: &dyn Fn(&Pool) -> bool,
) -> Result<(), Error> {
    let (mut pools, mut pool_map) = (Vec::new(), Vec::new());
    for number in 0..old.state().pools {
        let pool = old.pool(number)?;
        let kept = pool.leased > 0 || wanted(&pool);
        pool_map.push(if kept { u32::try_from(pools.len()).unwrap_or(NONE) } else { NONE });
        if kept {
            pools.push(pool);
        }
    }
    let slot_map = SlotMap::new(old, &pool_map)?;
    for pool in &mut pools {
        pool.head = slot_map.link(pool.head);
        pool.tail = slot_map.link(pool.tail);
    }
    let mut owners = vec![NONE; layout.buckets as usize];
    let mut addresses = owners.clone();
    let mut out = Out::new(draft, layout.slots_at());
    each(old, |number, slot| {
        let Some(number) = slot_map.link(Some(number)) else { return Ok(()) };
        let slot = relinked(slot, number, &layout, &pool_map, &slot_map, (&mut owners, &mut addresses));
        let at = layout.slot(number);
        out.line(&slot.line(at).map_err(|_| Corruption("a slot no longer fits").at(old.path(), at.into()))?)
            .map_err(Error::io("write", old.path()))
    })?;
    out.flush().map_err(Error::io("write", old.path()))?;
    let count = u32::try_from(pools.len()).unwrap_or(NONE);
    let state = State { slots: slot_map.count, pools: count, swept: old.state().swept };
    let frame = Frame { network, layout, state, seq: 0, pools: &pools, owners: &owners, addresses: &addresses };
    frame.write(draft, boot)
}

/// A slot as it is to be in the new file, put at the head of its new chains.
fn relinked(
    slot: Slot,
    number: u32,
    layout: &Layout,
    pool_map: &[u32],
    slot_map: &SlotMap,
    (owners, addresses): (&mut [u32], &mut [u32]),
) -> Slot {
    let chain = |heads: &mut [u32], hash: u64| {
        let bucket = usize::try_from(hash % u64::from(layout.buckets)).unwrap_or(0);
        let next = std::mem::replace(&mut heads[bucket], number);
        (next != NONE).then_some(next)
    };
    let address_next = chain(addresses, address_hash(slot.address()));
    let pool = pool_map.get(slot.pool as usize).copied().unwrap_or(NONE);
    let state = match slot.state {
        SlotState::Leased { lease, owner_next: _ } => {
            let owner_next = chain(owners, owner_hash(&lease.owner));
            SlotState::Leased { lease, owner_next }
        }
        SlotState::Free { address, since, prev, next } => {
            SlotState::Free { address, since, prev: slot_map.link(prev), next: slot_map.link(next) }
        }
    };
    Slot { pool, address_next, state }
}

/// Old slot numbers to new ones.
struct SlotMap {
    /// Empty when every slot keeps its number.
    numbers: Vec<u32>,
    count: u32,
}

impl SlotMap {
    fn new<D: Disk>(old: &Transaction<'_, D>, pool_map: &[u32]) -> Result<Self, Error> {
        let all = old.state().slots;
        if !pool_map.contains(&NONE) {
            return Ok(Self { numbers: Vec::new(), count: all });
        }
        let mut map = Self { numbers: Vec::with_capacity(all as usize), count: 0 };
        each(old, |_, slot| {
            let kept = pool_map.get(slot.pool as usize).is_some_and(|pool| *pool != NONE);
            map.numbers.push(if kept { map.count } else { NONE });
            map.count += u32::from(kept);
            Ok(())
        })?;
        Ok(map)
    }

    fn link(&self, link: Option<u32>) -> Option<u32> {
        let link = link?;
        if self.numbers.is_empty() {
            return Some(link);
        }
        self.numbers.get(link as usize).copied().filter(|number| *number != NONE)
    }
}

/// Visit all slots of a settled store.
fn each<D: Disk>(old: &Transaction<'_, D>, mut visit: impl FnMut(u32, Slot) -> Result<(), Error>) -> Result<(), Error> {
    let all = old.state().slots;
    let mut bytes = vec![0; CHUNK as usize * SIZE];
    for first in (0..all).step_by(CHUNK as usize) {
        let at = old.layout().slot(first);
        let size = CHUNK.min(all - first) as usize * SIZE;
        let got = old.disk().read_at(&mut bytes[..size], offset(at)).map_err(Error::io("read", old.path()))?;
        for (number, bytes) in (first..).zip(bytes[..got].chunks(SIZE)) {
            let at = old.layout().slot(number);
            let slot = Line::checked(bytes, at).and_then(|line| Slot::read(&line));
            visit(number, slot.map_err(|corruption| corruption.at(old.path(), at.into()))?)?;
        }
    }
    Ok(())
}

/// Everything of a store but its slots.
struct Frame<'a> {
    network: &'a str,
    layout: Layout,
    state: State,
    seq: u64,
    pools: &'a [Pool],
    owners: &'a [u32],
    addresses: &'a [u32],
}

impl Frame<'_> {
    fn write<D: Disk>(&self, draft: &mut D, boot: BootId) -> Result<(), Error> {
        let superblock = self.layout.superblock(self.network);
        let superblock = superblock.map_err(|excess| Error::DoesNotFit { what: "the network's name", excess })?;
        let mut out = Out::new(draft, 0);
        self.lines(&mut out, &superblock, boot).map_err(Error::io("write", Path::new("store.new")))
    }

    fn lines<D: Disk>(&self, out: &mut Out<'_, D>, superblock: &Line, boot: BootId) -> io::Result<()> {
        out.line(superblock)?;
        out.line(&mark(self.seq))?;
        out.bytes(&encode(REDO[0], self.seq, boot, self.state, &[]))?;
        // Blank, but real: a commit must never need space.
        for number in REDO[0] + 1..REDO[1] + REDO_LINES {
            out.line(&blank(number))?;
        }
        for number in 0..self.layout.pools {
            let at = self.layout.pool(number);
            let pool = self.pools.get(number as usize).and_then(|pool| pool.line(at).ok());
            out.line(&pool.unwrap_or_else(|| blank(at)))?;
        }
        let indexes = [
            (Index::Owners, self.layout.owners_at(), self.owners),
            (Index::Addresses, self.layout.addresses_at(), self.addresses),
        ];
        for (index, first, heads) in indexes {
            for (number, heads) in (first..).zip(heads.chunks(PER_LINE as usize)) {
                let heads: Vec<_> = heads.iter().map(|head| (*head != NONE).then_some(*head)).collect();
                out.line(&index.line(number, &heads))?;
            }
        }
        out.flush()
    }
}

/// Lines one after another, written in large pieces.
struct Out<'d, D> {
    disk: &'d mut D,
    at: u64,
    bytes: Vec<u8>,
}

impl<'d, D: Disk> Out<'d, D> {
    fn new(disk: &'d mut D, line: u32) -> Self {
        Self { disk, at: offset(line), bytes: Vec::with_capacity(BATCH + SIZE) }
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        self.bytes(line.bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.write_at(&self.bytes, self.at)?;
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

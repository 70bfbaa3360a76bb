//! A store whose lock is held: making it, changing it in one commit, rewriting it with more in it.

use std::net::IpAddr;

use crate::Lines;
use crate::disk::{Disk, StoreDir};
use crate::error::Error;
use crate::head::offset;
use crate::layout::{Layout, SUPER, Superblock, VERSION};
use crate::now::BootId;
use crate::pool::Pool;
use crate::rebuild::{Draft, create, publish, rebuild, write_again, write_empty};
use crate::transaction::{Transaction, read_line};

/// Times that a store is rewritten for one request for room.
const ROUNDS: usize = 3;

/// A network's store, which may not exist yet, and its lock, held until this is dropped.
pub struct Locked<'s, S: StoreDir> {
    dir: &'s S,
    boot: BootId,
    disk: Option<S::Disk>,
    _guard: S::Guard,
}

/// How much a store must have room for.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Addresses that a new store may come to hold.
    pub addresses: u64,
    /// Slots to be added.
    pub slots: u32,
    /// Pools to be added, at most.
    pub pools: u32,
}

impl<'s, S: StoreDir> Locked<'s, S> {
    /// Waits for the lock, then opens the store. `boot` is the present boot.
    ///
    /// # Errors
    /// [`Error::LockBusy`] at the deadline; what the kernel refuses.
    pub fn open(dir: &'s S, boot: BootId) -> Result<Self, Error> {
        let guard = dir.lock()?;
        let disk = dir.open().map_err(Error::io("open", dir.path()))?;
        Ok(Self { dir, boot, disk, _guard: guard })
    }

    /// Makes an empty store for about so many addresses, unless there is a store.
    ///
    /// # Errors
    /// When the kernel refuses; no store is left then.
    pub fn create(&mut self, network: &str, addresses: u64) -> Result<(), Error> {
        if self.disk.is_none() {
            self.disk = Some(create(self.dir, network, Layout::for_addresses(addresses), self.boot)?);
        }
        Ok(())
    }

    /// Begins a change. `None` when there is no store.
    ///
    /// # Errors
    /// When the store is damaged, newer, or cannot be read.
    pub fn change(&mut self) -> Result<Option<Transaction<'_, S::Disk>>, Error> {
        self.disk.as_mut().map(|disk| Transaction::begin(disk, self.dir.path(), self.boot)).transpose()
    }

    /// Begins a change of a store that exists.
    ///
    /// # Errors
    /// As [`Self::change`], and [`Error::Unsteady`] when there is no store any more.
    pub fn change_existing(&mut self) -> Result<Transaction<'_, S::Disk>, Error> {
        let gone = Error::Unsteady { path: self.dir.path().to_path_buf() };
        self.change()?.ok_or(gone)
    }

    /// Rewrites the store, so that it has a line for each pool of `pools` (first and last address), and an index that is
    /// large enough. Pools without a lease that are not in `pools` are dropped when their lines are needed. An index
    /// that could not grow for want of disk space stays: long chains are only slower.
    ///
    /// # Errors
    /// When there is no room for the pools.
    pub fn make_room(&mut self, network: &str, pools: &[(IpAddr, IpAddr)]) -> Result<(), Error> {
        let (dir, boot) = (self.dir, self.boot);
        for round in 0..ROUNDS {
            let transaction = self.change_existing()?;
            let (crowded, full) = (transaction.is_crowded(dir), transaction.lacks_pools(pools)?);
            if !crowded && !full {
                return Ok(());
            }
            let layout = *transaction.layout();
            let wanted = |pool: &Pool| !full || pools.contains(&(pool.start, pool.end));
            let layout = if crowded { layout.grown() } else { layout };
            let layout = if full && round > 0 { Layout { pools: layout.pools * 2, ..layout } } else { layout };
            match rebuild(dir, transaction, network, layout, boot, &wanted) {
                Ok(grown) => self.disk = Some(grown),
                Err(error) if error.is_no_space() && !full => break,
                Err(error) => return Err(error),
            }
        }
        // A rebuild that failed at its very end has put the new file in its place: what is written to the old one is lost.
        self.disk = dir.open().map_err(Error::io("open", dir.path()))?;
        Ok(())
    }

    /// Whether a change of the store needs [`Self::make_room`] first.
    ///
    /// # Errors
    /// When a pool cannot be read.
    pub fn lacks_room(
        dir: &S,
        transaction: &Transaction<'_, S::Disk>,
        pools: &[(IpAddr, IpAddr)],
    ) -> Result<bool, Error> {
        Ok(transaction.is_crowded(dir) || transaction.lacks_pools(pools)?)
    }

    /// Rewrites the store with `steps` in it, each made by `make`, in one step: a kill or an error leaves the store as it
    /// was, unless only the sync of the directory failed. Makes the store if there is none.
    ///
    /// # Errors
    /// When the kernel refuses, or `make` does.
    pub fn rewrite<T>(
        &mut self,
        network: &str,
        room: &Room,
        steps: impl Iterator<Item = T>,
        mut make: impl FnMut(&mut Transaction<'_, Draft<'_, S::Disk>>, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (dir, boot) = (self.dir, self.boot);
        let published = match self.change()? {
            None => {
                let layout = Layout::for_addresses(room.addresses).with_room(room.slots, room.pools);
                publish(dir, |draft| {
                    write_empty(draft, network, layout, boot)?;
                    Draft(draft).fill(dir.path(), boot, steps, &mut make)
                })?
            }
            Some(mut old) => {
                let state = *old.state();
                let slots = state.slots.saturating_add(room.slots);
                let layout = old.layout().with_room(slots, state.pools.saturating_add(room.pools));
                old.settle()?;
                publish(dir, |draft| {
                    write_again(draft, &old, network, layout, boot, &|_| true)?;
                    Draft(draft).fill(dir.path(), boot, steps, &mut make)
                })?
            }
        };
        self.disk = Some(published);
        Ok(())
    }
}

impl<D: Disk> Transaction<'_, D> {
    /// Whether the chains of the index have grown long, and the store may be rewritten for that.
    fn is_crowded<S: StoreDir>(&self, dir: &S) -> bool {
        let slots = self.state().slots;
        self.layout().is_crowded(slots) && dir.may_grow(offset(self.layout().slot(slots)))
    }

    /// Whether there are too few lines left for those of the pools that would be new.
    fn lacks_pools(&self, pools: &[(IpAddr, IpAddr)]) -> Result<bool, Error> {
        let left = (self.layout().pools - self.state().pools) as usize;
        if pools.len() <= left {
            return Ok(false);
        }
        let mut new = 0;
        for (start, end) in pools {
            new += usize::from(crate::ledger::pool_of(self, *start, *end)?.is_none());
        }
        Ok(new > left)
    }
}

/// The name of the network whose store lies in a directory; `None` when there is no store.
///
/// # Errors
/// When the store cannot be read, or its superblock is damaged or newer.
pub fn network_of<S: StoreDir>(dir: &S) -> Result<Option<String>, Error> {
    let Some(disk) = dir.open().map_err(Error::io("open", dir.path()))? else { return Ok(None) };
    let line = read_line(&disk, dir.path(), SUPER)?;
    match Layout::read(&line).map_err(|corruption| corruption.at(dir.path(), SUPER.into()))? {
        Superblock::Known(_, network) => Ok(Some(network.to_owned())),
        Superblock::Newer(version) => {
            Err(Error::NewerFormat { path: dir.path().to_path_buf(), version, newest: VERSION })
        }
    }
}

//! Giving addresses: all that an attachment asks for in one commit.
//! Owns the way from request to lease: look under the lock, prove without it, look again. Bounded in rounds.

use cni::Attachment;

use super::remove::sweep_boot;
use super::want::{Require, Want};
use super::{Judge, World};
use crate::error::Error;
use crate::lease::{Lease, Presence, Proof, Prover};
use crate::now::Stamp;
use crate::place::Place;
use crate::range::Range;
use crate::store::View;
use crate::store::disk::Shelf;
use crate::store::head::offset;
use crate::store::layout::Layout;
use crate::store::ledger::pool_of;
use crate::store::pool::Pool;
use crate::store::rebuild::{create, rebuild};
use crate::store::transaction::Transaction;

/// Times that an ADD looks again after it proved something: others may take what it won back.
const ROUNDS: usize = 16;

/// Give an attachment one address of each set, in one commit. Asked again for an attachment that is provably dead
/// (its host link or its namespace is gone), the same addresses are completed; otherwise that is a duplicate.
pub fn lease(
    place: &Place,
    want: &Want,
    owner: &Attachment,
    proof: &Proof,
    prover: &dyn Prover,
) -> Result<Vec<Lease>, Error> {
    let request = Request { want, owner, proof, network: place.network.as_str(), now: Stamp::now()? };
    request.give(&place.shelf()?, &World(prover))
}

/// One ADD.
pub(super) struct Request<'a> {
    pub(super) want: &'a Want,
    pub(super) owner: &'a Attachment,
    pub(super) proof: &'a Proof,
    pub(super) network: &'a str,
    pub(super) now: Stamp,
}

/// What one look under the lock came to.
pub(super) enum Outcome {
    /// All that was asked for.
    Given(Vec<Lease>),
    /// Leases of an earlier boot were not judged yet.
    Unswept,
    /// The owner has these already, and they were not proved dead.
    Held(Vec<Lease>),
    /// The set with this position has nothing to give.
    Exhausted(usize),
}

impl Request<'_> {
    pub(super) fn give<S: Shelf>(&self, shelf: &S, judge: &dyn Judge) -> Result<Vec<Lease>, Error> {
        shelf.prepare()?;
        let mut dead = Vec::new();
        let mut without = vec![false; self.want.asked.len()];
        let mut exhausted = None;
        for _ in 0..ROUNDS {
            match self.attempt(shelf, &dead, &without)? {
                Outcome::Given(leases) => return Ok(leases),
                Outcome::Unswept => sweep_boot(shelf, judge, self.now)?,
                Outcome::Held(leases) => {
                    if let Some(alive) = leases.iter().find(|lease| !self.is_dead(lease, judge)) {
                        return Err(duplicate(alive));
                    }
                    dead = leases;
                }
                Outcome::Exhausted(position) => {
                    let asked = &self.want.asked[position];
                    let reclaimed = self.reclaim(shelf, asked, judge)?;
                    if !reclaimed.any {
                        let error = reclaimed.error(asked);
                        if self.want.require == Require::Both {
                            return Err(error);
                        }
                        without[position] = true;
                        let first = exhausted.take().unwrap_or(error);
                        if without.iter().all(|without| *without) {
                            return Err(first);
                        }
                        exhausted = Some(first);
                    }
                }
            }
        }
        Err(Error::Unsteady { path: shelf.path().to_path_buf() })
    }

    /// For an ADD of the same owner one proof is enough: its link was never made, or its namespace is no more.
    fn is_dead(&self, lease: &Lease, judge: &dyn Judge) -> bool {
        let linked = lease.proof.host_link.is_some();
        (linked && judge.host_link(lease) == Presence::Gone)
            || judge.netns(&lease.proof, lease.since.boot == self.now.boot) == Presence::Gone
    }

    fn attempt<S: Shelf>(&self, shelf: &S, dead: &[Lease], without: &[bool]) -> Result<Outcome, Error> {
        let _guard = shelf.lock()?;
        let mut disk = match shelf.open().map_err(Error::io("open", shelf.path()))? {
            Some(disk) => disk,
            None => create(shelf, self.network, Layout::for_addresses(self.want.capacity()), self.now.boot)?,
        };
        for round in 0..3 {
            let transaction = Transaction::begin(&mut disk, shelf.path(), self.now.boot)?;
            if transaction.state().swept != self.now.boot {
                return Ok(Outcome::Unswept);
            }
            let layout = *transaction.layout();
            let long = offset(layout.slot(transaction.state().slots));
            let crowded = layout.is_crowded(transaction.state().slots) && shelf.may_grow(long);
            let full = self.lacks_pools(&transaction)?;
            if !crowded && !full {
                return self.choose_all(transaction, dead, without);
            }
            let wanted = |pool: &Pool| {
                !full || self.ranges().any(|range| (range.start(), range.end()) == (pool.start, pool.end))
            };
            let layout = if crowded { layout.grown() } else { layout };
            let layout = if full && round > 0 { Layout { pools: layout.pools * 2, ..layout } } else { layout };
            match rebuild(shelf, &mut disk, self.network, layout, self.now.boot, &wanted) {
                Ok(grown) => disk = grown,
                // Crowded chains are only slower.
                Err(error) if error.is_no_space() && !full => break,
                Err(error) => return Err(error),
            }
        }
        // Opened again: a rebuild that failed at its very end has put the new file in its place, and what would be
        // written to the old one would be lost.
        let opened = shelf.open().map_err(Error::io("open", shelf.path()))?;
        let mut disk = opened.ok_or_else(|| Error::Unsteady { path: shelf.path().to_path_buf() })?;
        let transaction = Transaction::begin(&mut disk, shelf.path(), self.now.boot)?;
        self.choose_all(transaction, dead, without)
    }

    fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.want.asked.iter().flat_map(|asked| asked.set.ranges())
    }

    /// Are there too few lines left for the pools that would be new?
    fn lacks_pools(&self, view: &impl View) -> Result<bool, Error> {
        let left = (view.layout().pools - view.state().pools) as usize;
        if self.ranges().count() <= left {
            return Ok(false);
        }
        let mut new = 0;
        for range in self.ranges() {
            new += usize::from(pool_of(view, range.start(), range.end())?.is_none());
        }
        Ok(new > left)
    }
}

fn duplicate(lease: &Lease) -> Error {
    Error::Duplicate { address: lease.address.ip(), owner: lease.owner.container_id.to_string() }
}

//! Giving addresses: all that an attachment asks for in one commit.
//! The order is: look under the lock, prove owners dead without it, look again; a bounded number of times.

use std::net::IpAddr;

use cni::Attachment;
use store::{Lease, Locked, Proof, Stamp, StoreDir};

use super::remove::void_earlier_boots;
use super::want::{Require, Want};
use crate::error::Error;
use crate::liveness::{Liveness, Presence};
use crate::place::Place;

/// Times that an ADD looks again after it took something back: other processes may be given it first.
const ROUNDS: usize = 16;

/// Give an attachment one address of each set, in one commit. Asked again for an attachment that is provably dead
/// (its host link or its namespace is gone), the same addresses are completed; otherwise that is a duplicate.
pub fn lease(
    place: &Place,
    want: &Want,
    owner: &Attachment,
    proof: &Proof,
    liveness: &dyn Liveness,
) -> Result<Vec<Lease>, Error> {
    let request = Request { want, owner, proof, network: place.network.as_str(), now: Stamp::now()? };
    request.give(&place.dir()?, liveness)
}

/// One ADD.
pub struct Request<'a> {
    /// What is asked for.
    pub want: &'a Want,
    /// Who asks.
    pub owner: &'a Attachment,
    /// What proves the owner alive.
    pub proof: &'a Proof,
    /// The network's name.
    pub network: &'a str,
    /// The present moment.
    pub now: Stamp,
}

/// What one look under the lock led to.
pub(super) enum Outcome {
    /// All that was asked for.
    Given(Vec<Lease>),
    /// Leases of an earlier boot were not livenessd yet.
    Unswept,
    /// The owner has these already, and they were not proved dead.
    Held(Vec<Lease>),
    /// The set with this position has nothing to give.
    Exhausted(usize),
}

impl Request<'_> {
    /// See [`lease`].
    pub fn give<S: StoreDir>(&self, dir: &S, liveness: &dyn Liveness) -> Result<Vec<Lease>, Error> {
        dir.prepare()?;
        let mut dead = Vec::new();
        let mut without = vec![false; self.want.asked.len()];
        let mut exhausted = None;
        for _ in 0..ROUNDS {
            match self.attempt(dir, &dead, &without)? {
                Outcome::Given(leases) => return Ok(leases),
                Outcome::Unswept => void_earlier_boots(dir, liveness, self.now)?,
                Outcome::Held(leases) => {
                    if let Some(alive) = leases.iter().find(|lease| !self.is_dead(lease, liveness)) {
                        return Err(duplicate(alive));
                    }
                    dead = leases;
                }
                Outcome::Exhausted(position) => {
                    let asked = &self.want.asked[position];
                    let reclaimed = self.reclaim(dir, asked, liveness)?;
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
        Err(store::Error::Unsteady { path: dir.path().to_path_buf() }.into())
    }

    /// For an ADD of the same owner one proof is enough: its link was never made, or its namespace is no more.
    fn is_dead(&self, lease: &Lease, liveness: &dyn Liveness) -> bool {
        let linked = lease.proof.host_link.is_some();
        (linked && liveness.host_link(lease) == Presence::Gone)
            || liveness.netns(&lease.proof, lease.since.boot == self.now.boot) == Presence::Gone
    }

    fn attempt<S: StoreDir>(&self, dir: &S, dead: &[Lease], without: &[bool]) -> Result<Outcome, Error> {
        let mut store = Locked::open(dir, self.now.boot)?;
        store.create(self.network, self.want.capacity())?;
        let pools: Vec<(IpAddr, IpAddr)> = self.want.ranges().map(|range| (range.start(), range.end())).collect();
        let change = store.change_existing()?;
        if !change.is_swept() {
            return Ok(Outcome::Unswept);
        }
        if !Locked::lacks_room(dir, &change, &pools)? {
            return self.choose_all(change, dead, without);
        }
        drop(change);
        store.make_room(self.network, &pools)?;
        self.choose_all(store.change_existing()?, dead, without)
    }
}

fn duplicate(lease: &Lease) -> Error {
    Error::Duplicate { address: lease.address.ip(), owner: lease.owner.container_id.to_string() }
}

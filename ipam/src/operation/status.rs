//! STATUS: would an ADD be given its addresses right now? And how full the pools are.
//! Owns no judgement of its own: what ADD would do is what STATUS says.

use cni::{Attachment, ContainerId, Ifname};

use super::give::Request;
use super::want::Want;
use super::{Judge, World};
use crate::error::Error;
use crate::lease::{Lease, Presence, Proof, Prover};
use crate::now::Stamp;
use crate::place::Place;
use crate::range::RangeSet;
use crate::store::View;
use crate::store::disk::Shelf;
use crate::store::ledger::pool_of;
use crate::store::read::{Snapshot, read};
use crate::store::rehearsal::Rehearsal;

/// Answers that other processes' commits may spoil before the last one is taken as it is.
const TRIES: usize = 16;

/// How full the pools are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// One entry for each range set, in the order of the config.
    pub sets: Vec<SetCounts>,
}

/// How full one range set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCounts {
    /// The set as `first-last` of each range.
    pub set: String,
    /// Addresses leased.
    pub leased: u64,
    /// Addresses released and waiting to be given again.
    pub released: u64,
    /// Addresses that can be leased at all. Saturates at `u64::MAX`.
    pub capacity: u64,
}

/// Whether an ADD would be given addresses now; otherwise [`Error::NotReady`] says why not. ADD itself answers, on a copy of
/// the store in memory: it takes back what is provably dead there, brings home what waits in other pools' queues, and gives
/// the addresses that are returned. The store and its lock are only looked at.
pub fn status(place: &Place, want: &Want, prover: &dyn Prover) -> Result<Vec<Lease>, Error> {
    let now = Stamp::now()?;
    let rehearsed = place.shelf().and_then(|shelf| rehearse(&shelf, want, place.network.as_str(), &World(prover), now));
    rehearsed.map_err(|error| Error::NotReady(Box::new(error)))
}

pub(super) fn rehearse<S: Shelf>(
    shelf: &S,
    want: &Want,
    network: &str,
    judge: &dyn Judge,
    now: Stamp,
) -> Result<Vec<Lease>, Error> {
    let owner = nobody().map_err(|_| Error::Unsteady { path: shelf.path().to_path_buf() })?;
    let request = Request { want, owner: &owner, proof: &Proof::default(), network, now };
    // What damages the answer: a commit of somebody else between two looks at the store.
    let newest = || read(shelf, |snapshot| Ok(snapshot.number())).map_err(|error| error.to_string());
    let mut before = newest();
    for _ in 0..TRIES {
        let answer = request.give(&Rehearsal::new(shelf), &Looking(judge));
        let after = newest();
        if answer.is_ok() || before == after {
            return answer;
        }
        before = after;
    }
    request.give(&Rehearsal::new(shelf), &Looking(judge))
}

/// An attachment that no runtime makes: its pod has no address, and gets none.
fn nobody() -> Result<Attachment, cni::Error> {
    let container_id = ContainerId::parse("podlan.status")?;
    Ok(Attachment { container_id, ifname: Ifname::parse("status")? })
}

/// Judges, and changes nothing.
struct Looking<'j>(&'j dyn Judge);

impl Judge for Looking<'_> {
    fn netns(&self, proof: &Proof, same_boot: bool) -> Presence {
        self.0.netns(proof, same_boot)
    }

    fn host_link(&self, lease: &Lease) -> Presence {
        self.0.host_link(lease)
    }
}

/// How full the pools of each set are. Full ones are no error.
pub fn counts(place: &Place, want: &Want) -> Result<Counts, Error> {
    let look =
        |view: &Snapshot<'_, _>| want.asked.iter().map(|asked| set(view, &asked.set)).collect::<Result<Vec<_>, _>>();
    match read(&place.shelf()?, look)? {
        Some(sets) => Ok(Counts { sets }),
        None => Ok(Counts { sets: want.asked.iter().map(|asked| empty(&asked.set)).collect() }),
    }
}

fn empty(set: &RangeSet) -> SetCounts {
    let capacity = set.ranges().iter().fold(0, |sum: u64, range| sum.saturating_add(range.capacity()));
    SetCounts { set: set.to_string(), leased: 0, released: 0, capacity }
}

fn set(view: &impl View, set: &RangeSet) -> Result<SetCounts, Error> {
    let mut counts = empty(set);
    for range in set.ranges() {
        if let Some((_, pool)) = pool_of(view, range.start(), range.end())? {
            counts.leased += u64::from(pool.leased);
            counts.released += u64::from(pool.free);
        }
    }
    Ok(counts)
}

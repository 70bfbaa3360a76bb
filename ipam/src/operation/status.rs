//! STATUS: would an ADD be given its addresses right now? And how full the pools are.
//! ADD itself answers, on a copy of the store.

use cni::{Attachment, ContainerId, Ifname};
use store::{DryRun, Lease, Proof, Snapshot, Stamp, StoreDir, View};

use super::give::Request;
use super::want::Want;
use crate::error::Error;
use crate::liveness::{Liveness, LookOnly};
use crate::place::Place;
use crate::range::RangeSet;

/// Times that an answer which another process's commit made doubtful is asked for again.
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
/// the store in memory: it takes back what is provably dead there, moves free addresses that are queued under other pools, and gives
/// the addresses that are returned. The store and its lock are only looked at.
pub fn status(place: &Place, want: &Want, liveness: &dyn Liveness) -> Result<Vec<Lease>, Error> {
    let now = Stamp::now()?;
    let rehearsed = place.dir().and_then(|dir| rehearse(&dir, want, place.network.as_str(), liveness, now));
    rehearsed.map_err(|error| Error::NotReady(Box::new(error)))
}

/// See [`status`]; the error is that of the ADD.
pub fn rehearse<S: StoreDir>(
    dir: &S,
    want: &Want,
    network: &str,
    liveness: &dyn Liveness,
    now: Stamp,
) -> Result<Vec<Lease>, Error> {
    let owner = probe_owner().map_err(|_| store::Error::Unsteady { path: dir.path().to_path_buf() })?;
    let request = Request { want, owner: &owner, proof: &Proof::default(), network, now };
    // A commit of another process between two reads can make the answer an error.
    let newest = || store::read(dir, |snapshot| Ok(snapshot.number())).map_err(|error| error.to_string());
    let mut before = newest();
    for _ in 0..TRIES {
        let answer = request.give(&DryRun::new(dir), &LookOnly(liveness));
        let after = newest();
        if answer.is_ok() || before == after {
            return answer;
        }
        before = after;
    }
    request.give(&DryRun::new(dir), &LookOnly(liveness))
}

/// The attachment that STATUS asks for: no runtime makes one of that name.
fn probe_owner() -> Result<Attachment, cni::Error> {
    let container_id = ContainerId::parse("podlan.status")?;
    Ok(Attachment { container_id, ifname: Ifname::parse("status")? })
}

/// How full the pools of each set are. Full ones are no error.
pub fn counts(place: &Place, want: &Want) -> Result<Counts, Error> {
    let look =
        |view: &Snapshot<'_, _>| want.asked.iter().map(|asked| set(view, &asked.set)).collect::<Result<Vec<_>, _>>();
    match store::read(&place.dir()?, look)? {
        Some(sets) => Ok(Counts { sets }),
        None => Ok(Counts { sets: want.asked.iter().map(|asked| empty(&asked.set)).collect() }),
    }
}

fn empty(set: &RangeSet) -> SetCounts {
    let capacity = set.ranges().iter().fold(0, |sum: u64, range| sum.saturating_add(range.capacity()));
    SetCounts { set: set.to_string(), leased: 0, released: 0, capacity }
}

fn set(view: &impl View, set: &RangeSet) -> Result<SetCounts, store::Error> {
    let mut counts = empty(set);
    for range in set.ranges() {
        if let Some((_, pool)) = view.pool_of(range.start(), range.end())? {
            counts.leased += u64::from(pool.leased);
            counts.released += u64::from(pool.free);
        }
    }
    Ok(counts)
}

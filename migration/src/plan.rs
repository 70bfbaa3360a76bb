//! Which of host-local's leases come into the store, and which do not. Pure: what was found, what the config gives and
//! what the store holds go in, a plan comes out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cni::Attachment;
use ipam::{Lease, Proof, Range, Stamp, Want, after, distance};
use ipnetwork::IpNetwork;
use store::{View, fits};

use crate::host_local::{Found, Reservation};
use crate::import::{Imported, Refusal, Refused};

/// Addresses passed over that get a slot to rest in. A range that host-local walked further through, as may be in an
/// IPv6 subnet, begins where it is anyhow.
const PASSED_MOST: u64 = 1 << 16;

/// What the store holds of all this.
#[derive(Debug, Default)]
pub(crate) struct Before {
    leased: BTreeMap<IpAddr, Lease>,
    /// The cursor of ranges that are in use, by first and last address.
    cursors: BTreeMap<(IpAddr, IpAddr), Option<IpAddr>>,
}

impl Before {
    pub(crate) fn observe(view: &impl View, found: &Found, want: &Want) -> Result<Self, store::Error> {
        let mut before = Self::default();
        for Reservation { address, .. } in &found.leases {
            let slot = view.slot_at(*address)?;
            before.leased.extend(slot.and_then(|(_, slot)| Some((*address, slot.lease()?.clone()))));
        }
        for range in want.ranges() {
            let ends = (range.start(), range.end());
            before.cursors.extend(view.pool_of(ends.0, ends.1)?.map(|(_, pool)| (ends, pool.cursor)));
        }
        Ok(before)
    }

    fn cursor(&self, range: &Range) -> Option<IpAddr> {
        let new = Some(range.start());
        self.cursors.get(&(range.start(), range.end())).copied().unwrap_or(new)
    }
}

/// What is to be done, and what is to be reported.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Leases that are new to the store, each with its range.
    pub(crate) new: Vec<(Range, Lease)>,
    /// Leases that it has.
    pub(crate) known: Vec<Lease>,
    /// Leases whose owners are not vouched for.
    pub(crate) left: Vec<(IpAddr, Attachment)>,
    /// Files that are left alone.
    pub(crate) refused: Vec<Refused>,
    /// Ranges that host-local walked through.
    pub(crate) passed: Vec<Passed>,
}

/// Addresses of a range that were given before, from the store's cursor to the last one that host-local gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) range: Range,
    pub(crate) from: IpAddr,
    pub(crate) last: IpAddr,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.passed.is_empty()
    }

    /// As the caller is answered.
    pub(crate) fn imported(self) -> Imported {
        let Self { new, known, left, refused, passed: _ } = self;
        Imported { leases: new.into_iter().map(|(_, lease)| lease).collect(), known, left, refused }
    }

    /// Slots that it adds, at most.
    pub(crate) fn slots(&self) -> u64 {
        let passed = self.passed.iter().map(|Passed { range: _, from, last }| distance(*from, *last) + 1);
        passed.sum::<u64>() + self.new.len() as u64
    }
}

/// Each address to the owner that host-local gave it to, unless the store has another.
pub(crate) fn plan(
    mut found: Found,
    want: &Want,
    before: &Before,
    vouch: &dyn Fn(&Attachment) -> Option<Proof>,
    now: Stamp,
) -> Plan {
    found.sort();
    let mut plan = Plan { refused: found.refused, ..Plan::default() };
    let mut leased = before.leased.clone();
    for held in &found.leases {
        match judge(held, want, &leased, vouch, now) {
            Ok(Verdict::New(range, lease)) => {
                leased.insert(held.address, lease.clone());
                plan.new.push((range, lease));
            }
            Ok(Verdict::Known(lease)) => plan.known.push(lease),
            Ok(Verdict::Unvouched) => plan.left.push((held.address, held.owner.clone())),
            Err(why) => plan.refused.push(Refused { file: held.file.clone(), why }),
        }
    }
    for (file, last) in &found.last {
        let Some(range) = want.ranges().find(|range| range.contains(*last)) else {
            plan.refused.push(Refused { file: file.clone(), why: Refusal::Outside(*last) });
            continue;
        };
        let from = before.cursor(range).filter(|from| from <= last && distance(*from, *last) < PASSED_MOST);
        plan.passed.extend(from.map(|from| Passed { range: range.clone(), from, last: *last }));
    }
    plan.refused.sort_by(|one, other| one.file.cmp(&other.file));
    plan
}

enum Verdict {
    New(Range, Lease),
    Known(Lease),
    Unvouched,
}

fn judge(
    held: &Reservation,
    want: &Want,
    leased: &BTreeMap<IpAddr, Lease>,
    vouch: &dyn Fn(&Attachment) -> Option<Proof>,
    now: Stamp,
) -> Result<Verdict, Refusal> {
    let Reservation { file: _, address, owner } = held;
    let (address, holder) = (*address, leased.get(address));
    if let Some(lease) = holder.filter(|lease| lease.owner == *owner) {
        return Ok(Verdict::Known(lease.clone()));
    }
    let Some(proof) = vouch(owner) else { return Ok(Verdict::Unvouched) };
    if let Some(lease) = holder {
        return Err(Refusal::Taken { address, owner: lease.owner.clone() });
    }
    let range = want.ranges().find(|range| range.contains(address)).ok_or(Refusal::Outside(address))?;
    if range.reserves(address) {
        return Err(Refusal::Reserved(address));
    }
    let network = IpNetwork::new(address, range.subnet().prefix()).unwrap_or_else(|_| IpNetwork::from(address));
    let lease = Lease {
        address: network,
        gateway: range.gateway(),
        owner: owner.clone(),
        proof,
        reused_early: false,
        since: now,
    };
    fits(&lease).map_err(|excess| Refusal::DoesNotFit { excess })?;
    Ok(Verdict::New(range.clone(), lease))
}

/// Every address that was passed over, in order.
impl Passed {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let last = self.last;
        std::iter::successors(Some(self.from), |address| after(*address)).take_while(move |address| *address <= last)
    }
}

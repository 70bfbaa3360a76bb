//! Keeps this node's routes equal to what they should be: observe, plan, apply, remember. It is level-triggered: whatever
//! happened, a turn compares what should be with what is. It knows no clock and no socket; both are given.
//!
//! A reconciler exists only once a source has yielded its first whole snapshot, so no route is ever swept on less. A
//! snapshot that the guard holds is not in force: the one before it stays, and nothing is removed meanwhile.
//!
//! A route of ours that goes is put back at once, as it was. What needs a new decision (links, addresses, other routes)
//! waits for a turn, which the owner grants less often.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::apply::{Applied, Trouble, apply};
use super::desired::{Desired, View, desired, own_cidrs, peer_addresses};
use super::guard::{Guard, Limits, Withdrawal};
use super::here::Here;
use super::kernel::Kernel;
use super::plan::{Change, Plan, plan};
use super::verdict::{Ruling, Verdict};
use super::ways::Ways;
use super::{Key, Routes, Target};
use nodes::Snapshot;

mod events;

pub use events::Asked;

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's name in the list of nodes.
    pub me: Arc<str>,
    /// When a withdrawal is held.
    pub limits: Limits,
    /// Whether nodes of other segments are routed to by routers.
    pub by_routers: bool,
}

/// The reconciler and what it knows.
pub struct Reconciler {
    settings: Settings,
    in_force: Snapshot,
    /// The guard has let what is in force remove routes.
    believed: bool,
    decided: bool,
    /// A later snapshot on which no turn has decided yet, or one that the guard holds.
    candidate: Option<Snapshot>,
    sight: VisibleNetns,
    grounds: Grounds,
    here: Here,
    ways: Ways,
    /// Links that changed since the last look. Whether a route by one of them can be, the look shows.
    unsure: BTreeSet<u32>,
    observed: Routes,
    desired: Routes,
    verdicts: Vec<Verdict>,
    troubles: BTreeMap<Key, (Target, Trouble)>,
    guard: Guard,
}

/// Whether what is known of the kernel can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VisibleNetns {
    /// It must be asked for everything.
    Stale,
    /// Events have kept it up to date.
    Fresh,
}

/// Whether what decides on the routes has changed since the last decision. Putting one route back needs no new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grounds {
    New,
    Same,
}

/// What a turn did.
#[derive(Debug)]
pub struct Turn {
    /// Whether links and addresses may be other than before.
    pub looked: bool,
    /// What became of the plan's changes.
    pub applied: Applied,
    /// Verdicts that are new or other than before.
    pub changed: Vec<Verdict>,
    /// Whether the verdicts, or what keeps a route from being in, may be other than before.
    pub judged: bool,
}

impl Reconciler {
    /// Starts from the first snapshot; asks the kernel nothing yet.
    pub fn new(settings: Settings, first: Snapshot) -> Self {
        Self {
            settings,
            in_force: first,
            believed: false,
            decided: false,
            candidate: None,
            sight: VisibleNetns::Stale,
            grounds: Grounds::New,
            here: Here::default(),
            ways: Ways::default(),
            unsure: BTreeSet::new(),
            observed: Routes::new(),
            desired: Routes::new(),
            verdicts: Vec::new(),
            troubles: BTreeMap::new(),
            guard: Guard::Open,
        }
    }

    /// Takes a new snapshot; the next turn decides on it.
    pub fn learn(&mut self, mut snapshot: Snapshot) {
        snapshot.keep_last_good(&self.in_force);
        self.candidate = Some(snapshot);
        self.grounds = Grounds::New;
    }

    /// Trusts nothing that it knows of the kernel: the next turn asks for everything.
    pub fn look_again(&mut self) -> Asked {
        self.sight = VisibleNetns::Stale;
        self.grounds = Grounds::New;
        self.ways.doubt_all();
        Asked::Turn
    }

    /// Puts back what is not as it was decided, by what is known; decides nothing.
    pub fn heal(&mut self, kernel: &mut impl Kernel) -> Result<Turn, netlink::Error> {
        let mut plan = self.due(plan(&self.desired, &self.observed), self.guard == Guard::Open);
        plan.changes.retain(|change| match change {
            Change::Add(_, target) | Change::Replace(_, target) => !self.is_unsure(target),
            Change::Remove(_) => true,
        });
        let applied = self.apply(kernel, &plan)?;
        Ok(Turn { looked: false, changed: Vec::new(), judged: !applied.refused.is_empty(), applied })
    }

    /// Makes the routes right. `leased` tells whether a former CIDR of this node still has leases.
    pub fn turn(
        &mut self,
        kernel: &mut impl Kernel,
        leased: &dyn Fn(IpNetwork) -> bool,
    ) -> Result<Turn, netlink::Error> {
        let looked = self.sight == VisibleNetns::Stale;
        if looked {
            self.here = kernel.here()?;
            self.observed = kernel.routes()?;
            self.troubles.clear();
            self.unsure.clear();
            self.sight = VisibleNetns::Fresh;
        }
        let judged = self.grounds == Grounds::New;
        let (mut changed, removes) = match self.grounds {
            Grounds::New => {
                self.ask_the_way(kernel)?;
                self.decide(leased)
            }
            Grounds::Same => (Vec::new(), self.guard == Guard::Open && !self.in_force.partial),
        };
        self.grounds = Grounds::Same;
        let mut plan = self.due(plan(&self.desired, &self.observed), removes);
        let mut uncovered = self.uncover(kernel, &plan)?;
        if !uncovered.done.is_empty() {
            self.ask_the_way(kernel)?;
            let (more, removes) = self.decide(leased);
            changed.extend(more);
            plan = self.due(self::plan(&self.desired, &self.observed), removes);
        }
        let applied = self.apply(kernel, &plan)?;
        uncovered.add(applied);
        Ok(Turn { looked, changed, judged: judged || !uncovered.refused.is_empty(), applied: uncovered })
    }

    fn apply(&mut self, kernel: &mut impl Kernel, plan: &Plan) -> Result<Applied, netlink::Error> {
        let mut applied = if plan.changes.is_empty() { Applied::default() } else { apply(kernel, plan)? };
        self.remember(&applied);
        if self.guard == Guard::Open && !applied.stale.is_empty() {
            let gone = apply(kernel, &Plan { changes: std::mem::take(&mut applied.stale) })?;
            self.remember(&gone);
            applied.add(gone);
        }
        Ok(applied)
    }

    /// Removes, first of all, the routes of ours that are to go and that hide the kernel's answer for a peer's address: on
    /// such an answer nothing is decided.
    fn uncover(&mut self, kernel: &mut impl Kernel, plan: &Plan) -> Result<Applied, netlink::Error> {
        let mut hiding = Plan::default();
        for change in &plan.changes {
            if matches!(change, Change::Remove(key) if self.ways.doubt_hidden(key.destination)) {
                hiding.changes.push(*change);
            }
        }
        self.apply(kernel, &hiding)
    }

    /// Renews the desired routes and the verdicts; returns the verdicts that changed, and whether routes may be removed.
    fn decide(&mut self, leased: &dyn Fn(IpNetwork) -> bool) -> (Vec<Verdict>, bool) {
        let draft = self.draft(self.candidate.as_ref().unwrap_or(&self.in_force), leased);
        let removes = self.may_remove(&draft.routes, leased);
        self.believed |= removes;
        // By a part of a list nothing is removed, and what it has counts.
        let draft = match self.candidate.take_if(|candidate| removes || candidate.partial) {
            Some(believed) => {
                self.in_force = believed;
                draft
            }
            None if self.candidate.is_some() => self.draft(&self.in_force, leased),
            None => draft,
        };
        let changed = changed(&self.verdicts, &draft.verdicts);
        self.decided = true;
        self.desired = draft.routes;
        self.verdicts = draft.verdicts;
        (changed, removes)
    }

    /// Learns how the peers are reached, as far as it is not known.
    fn ask_the_way(&mut self, kernel: &mut impl Kernel) -> Result<(), netlink::Error> {
        let snapshots = [&self.in_force].into_iter().chain(&self.candidate);
        let wanted: BTreeSet<_> = snapshots.flat_map(|snapshot| peer_addresses(snapshot, &self.settings.me)).collect();
        self.ways.ask(&wanted, &self.here, kernel)
    }

    fn draft(&self, snapshot: &Snapshot, leased: &dyn Fn(IpNetwork) -> bool) -> Desired {
        let own = own_cidrs(snapshot, &self.settings.me);
        let former = self.observed.keys().filter(|key| key.is_own() && !own.contains(&key.destination));
        let draining: BTreeSet<_> = former.map(|key| key.destination).filter(|cidr| leased(*cidr)).collect();
        desired(&View {
            me: &self.settings.me,
            snapshot,
            here: &self.here,
            ways: &self.ways,
            draining: &draining,
            by_routers: self.settings.by_routers,
        })
    }

    /// Asks the guard whether the routes that are not in `desired` may go. It guards against a list: what the list that was
    /// believed last does not want either, by what the kernel answers now, no list withdraws.
    fn may_remove(&mut self, desired: &Routes, leased: &dyn Fn(IpNetwork) -> bool) -> bool {
        let snapshot = self.candidate.as_ref().unwrap_or(&self.in_force);
        let (taken, partial) = (snapshot.taken, snapshot.partial);
        if partial {
            return false;
        }
        let mut withdrawal = self.withdrawal(|key| !desired.contains_key(key));
        if self.believed && withdrawal.is_large(self.settings.limits) {
            let wanted = self.draft(&self.in_force, leased).routes;
            withdrawal = self.withdrawal(|key| !desired.contains_key(key) && wanted.contains_key(key));
        }
        self.guard.judge(self.settings.limits, withdrawal, taken)
    }

    fn withdrawal(&self, goes: impl Fn(&Key) -> bool) -> Withdrawal {
        let removals = || self.observed.keys().filter(|key| goes(key));
        Withdrawal {
            removals: removals().count(),
            peers: removals().filter(|key| !key.is_own()).count(),
            of: self.observed.keys().filter(|key| !key.is_own()).count(),
            by_empty_list: self.candidate.as_ref().unwrap_or(&self.in_force).nodes.is_empty(),
        }
    }

    /// What of a plan is due now: no removal that the guard holds, nothing that was refused and has not changed since.
    fn due(&self, mut plan: Plan, removes: bool) -> Plan {
        plan.changes.retain(|change| match change {
            Change::Add(key, target) | Change::Replace(key, target) => {
                self.troubles.get(key).is_none_or(|(refused, _)| refused != target)
            }
            Change::Remove(_) => removes,
        });
        plan
    }

    fn remember(&mut self, applied: &Applied) {
        if applied.surprised {
            self.look_again();
        }
        for change in &applied.done {
            match change {
                Change::Add(key, target) | Change::Replace(key, target) => {
                    self.troubles.remove(key);
                    self.observed.insert(*key, *target)
                }
                Change::Remove(key) => self.observed.remove(key),
            };
        }
        for (change, trouble) in &applied.refused {
            if let Change::Add(key, target) | Change::Replace(key, target) = change {
                self.troubles.insert(*key, (*target, trouble.clone()));
            }
        }
        let desired = &self.desired;
        self.troubles.retain(|key, (target, _)| desired.get(key) == Some(target));
    }

    /// Releases a held withdrawal, and forgets what is kept of nodes that the list lacks; false when there is neither.
    pub fn release(&mut self) -> bool {
        self.grounds = Grounds::New;
        let forgot = self.in_force.forget_kept();
        let forgot = self.candidate.as_mut().is_some_and(Snapshot::forget_kept) || forgot;
        self.guard.release() || forgot
    }

    /// Whether a former CIDR of this node waits for its last lease.
    pub fn drains(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.ruling == Ruling::Draining)
    }

    /// Whether there are verdicts: there are none as long as the kernel could not be asked.
    pub fn has_decided(&self) -> bool {
        self.decided
    }

    /// How the withdrawal guard stands.
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// This node's links and addresses at the last look.
    pub fn here(&self) -> &Here {
        &self.here
    }

    /// The snapshot by which the routes are decided.
    pub fn in_force(&self) -> &Snapshot {
        &self.in_force
    }

    /// The snapshot in force, and a later one on which nothing is decided yet, or that the guard holds.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        [&self.in_force].into_iter().chain(&self.candidate)
    }

    /// The verdict on each pod CIDR, by the last decision.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The routes that there should be.
    pub fn desired(&self) -> &Routes {
        &self.desired
    }

    /// The routes of ours that the kernel holds, as far as is known.
    pub fn observed(&self) -> &Routes {
        &self.observed
    }

    /// What keeps the route under `key` from being as desired.
    pub fn trouble(&self, key: &Key) -> Option<&Trouble> {
        self.troubles.get(key).map(|(_, trouble)| trouble)
    }
}

/// The verdicts of `after` that `before` did not have.
fn changed(before: &[Verdict], after: &[Verdict]) -> Vec<Verdict> {
    if before == after {
        return Vec::new();
    }
    let known: HashSet<&Verdict> = before.iter().collect();
    after.iter().filter(|verdict| !known.contains(verdict)).cloned().collect()
}

#[cfg(test)]
mod tests;

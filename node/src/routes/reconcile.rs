//! Keeps this node's routes equal to what they should be: observe, plan, apply, remember. It is level-triggered: whatever
//! happened, a turn compares what should be with what is. It knows no clock and no socket; both are given.
//!
//! A reconciler exists only once a source has yielded its first whole snapshot, so no route is ever swept on less. A
//! snapshot that the guard holds is not in force: the one before it stays, and nothing is removed meanwhile.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::apply::{Applied, Trouble, apply};
use super::desired::{Desired, View, desired, distant, own_cidrs};
use super::guard::{Guard, Limits, Withdrawal};
use super::here::{Here, Reaches};
use super::kernel::Kernel;
use super::news::News;
use super::plan::{Change, Plan, plan};
use super::verdict::{Ruling, Verdict};
use super::{Key, Routes, Target};
use crate::source::Snapshot;

/// What an operator decides.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) me: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) by_routers: bool,
}

/// The reconciler and what it knows.
pub(crate) struct Reconciler {
    settings: Settings,
    in_force: Snapshot,
    /// A later snapshot on which no turn has decided yet, or one that the guard holds.
    candidate: Option<Snapshot>,
    sight: Sight,
    grounds: Grounds,
    here: Here,
    reaches: Reaches,
    observed: Routes,
    desired: Routes,
    verdicts: Vec<Verdict>,
    troubles: BTreeMap<Key, (Target, Trouble)>,
    guard: Guard,
}

/// Whether what is known of the kernel can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
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
pub(crate) struct Turn {
    /// Whether links and addresses may be other than before.
    pub(crate) looked: bool,
    pub(crate) applied: Applied,
    /// Verdicts that are new or other than before.
    pub(crate) changed: Vec<Verdict>,
    /// Whether the verdicts, or what keeps a route from being in, may be other than before.
    pub(crate) judged: bool,
}

impl Reconciler {
    pub(crate) fn new(settings: Settings, first: Snapshot) -> Self {
        Self {
            settings,
            in_force: first,
            candidate: None,
            sight: Sight::Stale,
            grounds: Grounds::New,
            here: Here::default(),
            reaches: Reaches::new(),
            observed: Routes::new(),
            desired: Routes::new(),
            verdicts: Vec::new(),
            troubles: BTreeMap::new(),
            guard: Guard::Open,
        }
    }

    /// Takes a new snapshot; the next turn decides on it.
    pub(crate) fn learn(&mut self, mut snapshot: Snapshot) {
        snapshot.keep_last_good(&self.in_force);
        self.candidate = Some(snapshot);
        self.grounds = Grounds::New;
    }

    /// Takes the kernel's news; true when a turn is due.
    pub(crate) fn hear(&mut self, news: News) -> bool {
        match news {
            News::Held(key, target) => {
                self.observed.insert(key, target) != Some(target) && self.desired.get(&key) != Some(&target)
            }
            News::Lost(key) => {
                self.observed.remove(&key);
                self.desired.contains_key(&key)
            }
            // One that was put in the place of ours took ours away, and the kernel says no more of it.
            News::Foreign(key) if self.observed.contains_key(&key) => {
                self.look_again();
                true
            }
            News::Foreign(Key { destination, .. }) => {
                let troubles = self.troubles.len() + self.reaches.len();
                self.troubles.retain(|key, _| key.destination != destination);
                self.reaches.retain(|address, _| !destination.contains(*address));
                let matters = troubles != self.troubles.len() + self.reaches.len();
                self.grounds = if matters { Grounds::New } else { self.grounds };
                matters
            }
            News::Surroundings | News::Overflow => {
                self.look_again();
                true
            }
        }
    }

    /// Trusts nothing that it knows of the kernel: the next turn asks for everything.
    pub(crate) fn look_again(&mut self) {
        self.sight = Sight::Stale;
        self.grounds = Grounds::New;
    }

    /// Makes the routes right. `leased` tells whether a former CIDR of this node still has leases.
    pub(crate) fn turn(
        &mut self,
        kernel: &mut impl Kernel,
        leased: &dyn Fn(IpNetwork) -> bool,
    ) -> Result<Turn, netlink::Error> {
        let looked = self.sight == Sight::Stale;
        if looked {
            self.here = kernel.here()?;
            self.observed = kernel.routes()?;
            self.reaches.clear();
            self.troubles.clear();
            self.sight = Sight::Fresh;
        }
        let judged = self.grounds == Grounds::New;
        let (changed, removes) = match self.grounds {
            Grounds::New => {
                self.ask_the_way(kernel)?;
                self.decide(leased)
            }
            Grounds::Same => (Vec::new(), self.guard == Guard::Open && !self.in_force.partial),
        };
        self.grounds = Grounds::Same;
        let plan = self.due(plan(&self.desired, &self.observed), removes);
        let applied = if plan.changes.is_empty() { Applied::default() } else { apply(kernel, &plan)? };
        self.remember(&applied);
        Ok(Turn { looked, changed, judged: judged || !applied.refused.is_empty(), applied })
    }

    /// Renews the desired routes and the verdicts; returns the verdicts that changed, and whether routes may be removed.
    fn decide(&mut self, leased: &dyn Fn(IpNetwork) -> bool) -> (Vec<Verdict>, bool) {
        let draft = self.draft(self.candidate.as_ref().unwrap_or(&self.in_force), leased);
        let removes = self.may_remove(&draft.routes);
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
        self.desired = draft.routes;
        self.verdicts = draft.verdicts;
        (changed, removes)
    }

    /// Learns how the peers outside this node's subnets are reached, as far as it is not known.
    fn ask_the_way(&mut self, kernel: &mut impl Kernel) -> Result<(), netlink::Error> {
        let mut wanted = distant(&self.in_force, &self.here);
        if let Some(candidate) = &self.candidate {
            wanted.extend(distant(candidate, &self.here));
        }
        self.reaches.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if let Entry::Vacant(unknown) = self.reaches.entry(address) {
                unknown.insert(kernel.reach(address)?);
            }
        }
        Ok(())
    }

    fn draft(&self, snapshot: &Snapshot, leased: &dyn Fn(IpNetwork) -> bool) -> Desired {
        let own = own_cidrs(snapshot, &self.settings.me);
        let former = self.observed.keys().filter(|key| key.is_own() && !own.contains(&key.destination));
        let draining: BTreeSet<_> = former.map(|key| key.destination).filter(|cidr| leased(*cidr)).collect();
        desired(&View {
            me: &self.settings.me,
            snapshot,
            here: &self.here,
            reaches: &self.reaches,
            draining: &draining,
            by_routers: self.settings.by_routers,
        })
    }

    /// Asks the guard whether the routes that are not in `desired` may go.
    fn may_remove(&mut self, desired: &Routes) -> bool {
        let removals = || self.observed.keys().filter(|key| !desired.contains_key(key));
        let snapshot = self.candidate.as_ref().unwrap_or(&self.in_force);
        if snapshot.partial {
            return false;
        }
        let withdrawal = Withdrawal {
            removals: removals().count(),
            peers: removals().filter(|key| !key.is_own()).count(),
            of: self.observed.keys().filter(|key| !key.is_own()).count(),
            by_empty_list: snapshot.nodes.is_empty(),
        };
        self.guard.judge(self.settings.limits, withdrawal, snapshot.taken)
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
            self.troubles.remove(&change.key());
            match change {
                Change::Add(key, target) | Change::Replace(key, target) => self.observed.insert(*key, *target),
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
    pub(crate) fn release(&mut self) -> bool {
        self.grounds = Grounds::New;
        let forgot = self.in_force.forget_kept();
        let forgot = self.candidate.as_mut().is_some_and(Snapshot::forget_kept) || forgot;
        self.guard.release() || forgot
    }

    /// Whether a former CIDR of this node waits for its last lease.
    pub(crate) fn drains(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.ruling == Ruling::Draining)
    }

    pub(crate) fn guard(&self) -> Guard {
        self.guard
    }

    pub(crate) fn here(&self) -> &Here {
        &self.here
    }

    pub(crate) fn in_force(&self) -> &Snapshot {
        &self.in_force
    }

    /// The snapshot in force, and a later one on which nothing is decided yet, or that the guard holds.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        [&self.in_force].into_iter().chain(&self.candidate)
    }

    pub(crate) fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    pub(crate) fn desired(&self) -> &Routes {
        &self.desired
    }

    pub(crate) fn observed(&self) -> &Routes {
        &self.observed
    }

    /// What keeps the route under `key` from being as desired.
    pub(crate) fn trouble(&self, key: &Key) -> Option<&Trouble> {
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

//! A kernel with a link, routes of ours and masquerade sets. It refuses, by a panic, what must not happen yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use filter::Sides;
use ipnetwork::IpNetwork;
use netlink::{FibEntry, KernelError, NODE_ROUTE, Onward, RouteKind, Scope};
use routes::here::{Here, Link};
use routes::kernel::{Kernel, Refusal};
use routes::plan::Change;
use routes::{Key, Routes};

#[derive(Default)]
pub(super) struct SimulatedKernel {
    pub(super) routes: Routes,
    /// The masquerade sets in force.
    pub(super) sides: Option<Sides>,
    /// The packet filter was waited for as long as routes may wait.
    pub(super) filter_is_late: bool,
    /// The pod CIDRs that no whole list lacked by which the core may still decide; none before the first list.
    pub(super) listed: Option<BTreeSet<IpNetwork>>,
    /// All changes that were made.
    pub(super) changes: Vec<Change>,
    /// It refuses routes of this node's own CIDRs.
    pub(super) refuses_own: bool,
    /// It answers nothing.
    pub(super) is_broken: bool,
}

impl SimulatedKernel {
    fn answers<T>(&self, answer: T) -> Result<T, netlink::Error> {
        if self.is_broken { Err(netlink::Error::Interrupted) } else { Ok(answer) }
    }

    fn check(&self, change: &Change) {
        let Some(listed) = &self.listed else { panic!("{change:?} before the first list of nodes") };
        let (key, is_new) = (change.key(), !matches!(change, Change::Remove(_)));
        if is_new && !key.is_own() {
            let is_inside = self.sides.as_ref().is_some_and(|sides| sides.is_inside(key.destination));
            assert!(is_inside || self.filter_is_late, "{change:?} before the masquerade sets have it");
        }
        assert!(is_new || !listed.contains(&key.destination), "{change:?}, which every whole list has");
    }
}

impl Kernel for SimulatedKernel {
    fn here(&mut self) -> Result<Here, netlink::Error> {
        let eth0 = Link { name: "eth0".into(), up: true, carrier: [true; 2], mtu: 1500 };
        self.answers(Here { links: [(2, eth0)].into(), addresses: [(2, "10.0.0.1/16".parse().unwrap())].into() })
    }

    fn routes(&mut self) -> Result<Routes, netlink::Error> {
        self.answers(self.routes.clone())
    }

    fn entries(&mut self, addresses: &[IpAddr]) -> Result<Vec<Result<FibEntry, KernelError>>, netlink::Error> {
        let onward = Onward::Hop { gateway: None, device: 2, onlink: false };
        let entry = |address: &IpAddr| {
            let covering = self.routes.keys().find(|key| key.destination.contains(*address));
            let (prefix, protocol) = covering.map_or((16, 2), |key| (key.destination.prefix(), NODE_ROUTE));
            let (kind, scope) = (RouteKind::Unicast, Scope::Link);
            Ok(FibEntry {
                family: netlink::Family::V4,
                prefix,
                kind,
                table: 254,
                protocol,
                scope,
                by_object: false,
                onward,
            })
        };
        self.answers(addresses.iter().map(entry).collect())
    }

    fn change(&mut self, changes: &[Change]) -> Result<Vec<Result<(), Refusal>>, netlink::Error> {
        self.answers(())?;
        let change_one = |change: &Change| {
            self.check(change);
            self.changes.push(*change);
            match *change {
                Change::Add(key, _) if self.refuses_own && key.is_own() => Err(Refusal::Other("no".to_owned())),
                Change::Add(key, _) if self.routes.contains_key(&key) => Err(Refusal::Exists),
                Change::Add(key, target) | Change::Replace(key, target) => {
                    self.routes.insert(key, target);
                    Ok(())
                }
                Change::Remove(key) => self.routes.remove(&key).map(drop).ok_or(Refusal::Absent),
            }
        };
        Ok(changes.iter().map(change_one).collect())
    }

    fn holders(&mut self, _: &BTreeSet<Key>) -> Result<BTreeMap<Key, String>, netlink::Error> {
        self.answers(BTreeMap::new())
    }
}

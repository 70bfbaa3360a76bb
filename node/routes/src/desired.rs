//! Which routes this node should have, and the verdict on each peer: a pure function of a snapshot and this node.
//!
//! One odd node spoils nothing: what cannot be right is left out under its own name, and where two nodes contradict each
//! other the outcome depends on what they say alone, never on who came first.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use netlink::Family;

use super::claims::Claims;
use super::here::Here;
use super::reach::{Obstacle, Reach};
use super::verdict::{Ruling, Skip, Verdict};
use super::ways::Ways;
use super::{Key, Routes, Target, overlap};
use nodes::{Field, Node, Snapshot};

/// All that decides which routes are desired.
pub(crate) struct View<'a> {
    /// This node's name.
    pub me: &'a str,
    pub snapshot: &'a Snapshot,
    pub here: &'a Here,
    /// The kernel's answers for [`peer_addresses`].
    pub ways: &'a Ways,
    /// Former CIDRs of this node with leases that still live.
    pub draining: &'a BTreeSet<IpNetwork>,
    /// Whether routers between the segments know the pod subnets, so that a route by them leads somewhere.
    pub by_routers: bool,
}

/// What should be, and why.
#[derive(Debug, Default)]
pub(crate) struct Desired {
    pub routes: Routes,
    pub verdicts: Vec<Verdict>,
}

/// The addresses of the peers: how each is reached is asked of the kernel.
pub(crate) fn peer_addresses<'a>(snapshot: &'a Snapshot, me: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    snapshot.nodes.iter().filter(move |node| &*node.name != me).flat_map(|node| &node.addresses).copied()
}

/// This node's own CIDRs by the snapshot.
pub fn own_cidrs<'a>(snapshot: &'a Snapshot, me: &str) -> &'a [IpNetwork] {
    snapshot.nodes.iter().find(|node| &*node.name == me).map_or(&[], |node| &node.pod_cidrs)
}

/// The desired routes and the verdicts.
pub(crate) fn desired(view: &View<'_>) -> Desired {
    // Nodes without a name are no namesakes.
    let unique = view.snapshot.nodes.chunk_by(|a, b| a.name == b.name && !a.name.is_empty());
    // The subnets count too: the kernel's answer may be a route of ours to the very CIDR in question.
    let near = |address: IpAddr| {
        let straight = matches!(view.ways.reach(address), Some(Reach::Neighbour { .. } | Reach::OnLink { .. }));
        straight || view.here.is_near(address)
    };
    let mut planner = Planner {
        view,
        own: own_cidrs(view.snapshot, view.me),
        claims: Claims::of(unique.clone().map(|namesakes| &namesakes[0]), near),
        owners: BTreeMap::new(),
    };
    let mut desired = Desired::default();
    for namesakes in unique {
        let [node, others @ ..] = namesakes else { continue };
        planner.node(node, &mut desired);
        desired.verdicts.extend(others.iter().map(|other| skipped(other, None, Skip::DuplicateName)));
    }
    for cidr in view.draining {
        desired.routes.entry(Key::own(*cidr)).or_insert_with(|| {
            desired.verdicts.push(Verdict { node: view.me.into(), cidr: Some(*cidr), ruling: Ruling::Draining });
            Target::Unreachable
        });
    }
    desired
}

struct Planner<'a> {
    view: &'a View<'a>,
    own: &'a [IpNetwork],
    claims: Claims<'a>,
    /// Who has each CIDR: of several that could be routed to, the first by name.
    owners: BTreeMap<IpNetwork, Arc<str>>,
}

impl Planner<'_> {
    fn node(&mut self, node: &Node, desired: &mut Desired) {
        for malformed in &node.malformed {
            desired.verdicts.push(skipped(node, None, Skip::Malformed(malformed.clone())));
        }
        for kept in &node.kept {
            desired.verdicts.push(Verdict { node: node.name.clone(), cidr: None, ruling: Ruling::Kept(*kept) });
        }
        if node.pod_cidrs.is_empty() && node.malformed.iter().all(|bad| bad.field != Field::PodCidr) {
            desired.verdicts.push(skipped(node, None, Skip::NoPodCidr));
        }
        for cidr in &node.pod_cidrs {
            let outcome = if &*node.name == self.view.me { self.own(node, *cidr) } else { self.peer(node, *cidr) };
            let ruling = match outcome {
                Ok((key, target, ruling)) => match self.owners.entry(*cidr) {
                    Entry::Vacant(free) => {
                        free.insert(node.name.clone());
                        desired.routes.insert(key, target);
                        ruling
                    }
                    Entry::Occupied(taken) => Ruling::Skipped(Skip::DuplicateCidr { owner: taken.get().clone() }),
                },
                Err(skip) => Ruling::Skipped(skip),
            };
            desired.verdicts.push(Verdict { node: node.name.clone(), cidr: Some(*cidr), ruling });
        }
    }

    /// This node's own CIDR. Addresses of this node may lie in it (a bridge's, say), those of its peers may not.
    fn own(&self, me: &Node, cidr: IpNetwork) -> Result<(Key, Target, Ruling), Skip> {
        match self.claims.near_address_in(cidr).find(|(address, _)| !me.addresses.contains(address)) {
            Some((address, node)) => Err(Skip::CoversNode { node: node.name.clone(), address }),
            None => Ok((Key::own(cidr), Target::Unreachable, Ruling::Own)),
        }
    }

    fn peer(&self, node: &Node, cidr: IpNetwork) -> Result<(Key, Target, Ruling), Skip> {
        if let Some(own) = self.own.iter().find(|own| overlap(**own, cidr)) {
            return Err(Skip::OverlapsOwnCidr(*own));
        }
        if let Some(local) = self.view.here.covered_by(cidr) {
            return Err(Skip::OverlapsLocal(local));
        }
        if let Some((address, covered)) = self.claims.near_address_in(cidr).next() {
            return Err(Skip::CoversNode { node: covered.name.clone(), address });
        }
        let (target, ruling) = self.hop(node, Family::of(cidr.ip()))?;
        Ok((Key::peer(cidr), target, ruling))
    }

    /// The next hop to `node` in one family: by its first address that is reached without a router, else by its first one
    /// that is reached at all. Addresses that this node has too are left out.
    fn hop(&self, node: &Node, family: Family) -> Result<(Target, Ruling), Skip> {
        let all = || node.addresses.iter().copied().filter(|address| family.holds(*address));
        let Some(first) = all().next() else { return Err(Skip::NoAddress(family)) };
        let its_own = || all().filter(|address| !self.is_own(*address));
        if let Some(hop) = its_own().find_map(|address| self.straight(node, address)) {
            return Ok(hop);
        }
        let mut distant = its_own().map(|address| self.distant(address));
        let refused = match distant.next() {
            None => return Err(Skip::OwnAddress(first)),
            Some(Ok(hop)) => return Ok(hop),
            Some(Err(skip)) => skip,
        };
        distant.find_map(Result::ok).ok_or(refused)
    }

    /// This node's InternalIPs of one family, by the list of nodes.
    fn own_addresses(&self, family: Family) -> Vec<IpAddr> {
        let mine = self.view.snapshot.nodes.iter().filter(|node| &*node.name == self.view.me);
        mine.flat_map(|node| &node.addresses).copied().filter(|address| family.holds(*address)).collect()
    }

    fn is_own(&self, address: IpAddr) -> bool {
        let local = self.view.ways.reach(address) == Some(Reach::No(Obstacle::ThisNode));
        local || self.view.here.is_own(address)
    }

    /// The hop to a node that is on a link of this one: by its address, or by a gateway that is the node itself.
    fn straight(&self, node: &Node, address: IpAddr) -> Option<(Target, Ruling)> {
        let name = |link| self.view.here.link_name(link);
        match self.view.ways.reach(address)? {
            Reach::Neighbour { link } => {
                let ruling = Ruling::Direct { via: address, link: name(link) };
                Some((Target::Hop { via: address, link, onlink: false }, ruling))
            }
            Reach::OnLink { link } => {
                let ruling = Ruling::OnLink { via: address, link: name(link) };
                Some((Target::Hop { via: address, link, onlink: true }, ruling))
            }
            Reach::Router { router: via, link, onlink }
                if node.addresses.contains(&via) && self.claims.cidr_around(address).is_none() =>
            {
                Some((Target::Hop { via, link, onlink }, Ruling::OnLink { via, link: name(link) }))
            }
            Reach::Router { .. } | Reach::No(_) => None,
        }
    }

    /// The hop to a node that is on no link of this one.
    fn distant(&self, address: IpAddr) -> Result<(Target, Ruling), Skip> {
        if let Some((_, owner)) = self.claims.cidr_around(address) {
            return Err(Skip::AddressInPodCidr { address, owner: owner.name.clone() });
        }
        let skip = match self.view.ways.reach(address) {
            Some(Reach::Router { router, link, onlink }) if self.view.by_routers => {
                let ruling = Ruling::Router { router, link: self.view.here.link_name(link) };
                return Ok((Target::Hop { via: router, link, onlink }, ruling));
            }
            Some(Reach::Router { router, .. }) => Skip::OtherSegment { address, router },
            Some(Reach::No(obstacle)) => Skip::NotReached { address, obstacle },
            // Every address of a peer has been asked for; one that is on a link is no distant one.
            Some(Reach::Neighbour { .. } | Reach::OnLink { .. }) | None => {
                Skip::NotReached { address, obstacle: Obstacle::Nowhere }
            }
        };
        let lost = || self.view.here.lost_with_link(&self.own_addresses(Family::of(address)));
        let nowhere = matches!(skip, Skip::NotReached { obstacle: Obstacle::Nowhere, .. });
        match self.view.here.link_down(address).or_else(|| if nowhere { lost() } else { None }) {
            Some(link) => Err(Skip::LinkDown { address, link: link.name.clone() }),
            None => Err(skip),
        }
    }
}

fn skipped(node: &Node, cidr: Option<IpNetwork>, skip: Skip) -> Verdict {
    Verdict { node: node.name.clone(), cidr, ruling: Ruling::Skipped(skip) }
}

#[cfg(test)]
mod tests;

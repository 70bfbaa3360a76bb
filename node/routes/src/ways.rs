//! How the peers' addresses are reached: what the kernel answered, kept until an event may have changed it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::here::Here;
use super::kernel::Kernel;
use super::reach::{Obstacle, Reach, Way, is_link_local_v6, takes_gateway};

/// The answers, by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways(BTreeMap<IpAddr, Way>);

impl Ways {
    pub(crate) fn reach(&self, address: IpAddr) -> Option<Reach> {
        self.0.get(&address).map(|way| way.reach)
    }

    /// Doubts every answer.
    pub(crate) fn doubt_all(&mut self) {
        self.0.values_mut().for_each(|way| way.doubtful = true);
    }

    /// Doubts the answers that a route to `destination` in `table` may have changed; false where there are none.
    pub(crate) fn doubt_route(&mut self, destination: IpNetwork, table: u32) -> bool {
        let inside = self.0.range_mut(destination.network()..=destination.broadcast()).map(|(_, way)| way);
        doubt(inside.filter(|way| way.hangs_on(destination, table)))
    }

    /// Doubts the answers that hang on a nexthop object; false where there are none.
    pub(crate) fn doubt_objects(&mut self) -> bool {
        doubt(self.0.values_mut().filter(|way| way.hangs_on_objects()))
    }

    /// Doubts the answers in `destination` behind which a route of podlan's own may hide another; false where there are none.
    pub(crate) fn doubt_hidden(&mut self, destination: IpNetwork) -> bool {
        let inside = self.0.range_mut(destination.network()..=destination.broadcast()).map(|(_, way)| way);
        doubt(inside.filter(|way| way.is_hidden()))
    }

    /// Asks the kernel for those of `wanted` of which no answer is known, or a doubtful one; forgets all others.
    pub(crate) fn ask(
        &mut self,
        wanted: &BTreeSet<IpAddr>,
        here: &Here,
        kernel: &mut impl Kernel,
    ) -> Result<(), netlink::Error> {
        self.0.retain(|address, _| wanted.contains(address));
        let is_due = |address: &IpAddr| self.0.get(address).is_none_or(|way| way.doubtful);
        let due: Vec<IpAddr> = wanted.iter().copied().filter(is_due).collect();
        if due.is_empty() {
            return Ok(());
        }
        let answers = kernel.entries(&due)?;
        let mut ways: Vec<Way> =
            due.iter().zip(&answers).map(|(address, answer)| Way::of(*address, answer, here)).collect();
        check_gateways(&mut ways, kernel)?;
        for (address, way) in due.into_iter().zip(ways) {
            // What the kernel cannot say now has not changed for that; it stays doubtful.
            let unsaid = matches!(way.reach, Reach::No(Obstacle::Unsaid(_))) && self.0.contains_key(&address);
            if !unsaid {
                self.0.insert(address, way);
            }
        }
        Ok(())
    }
}

fn doubt<'a>(ways: impl Iterator<Item = &'a mut Way>) -> bool {
    ways.map(|way| way.doubtful = true).count() > 0
}

/// A gateway that the kernel accepted once, and would not now, is taken by the flag `onlink`: the kernel goes by it still.
fn check_gateways(ways: &mut [Way], kernel: &mut impl Kernel) -> Result<(), netlink::Error> {
    let gateways: BTreeSet<IpAddr> = ways.iter().filter_map(|way| unchecked(way.reach)).collect();
    if gateways.is_empty() {
        return Ok(());
    }
    let gateways: Vec<IpAddr> = gateways.into_iter().collect();
    let answers = kernel.entries(&gateways)?;
    let answers: BTreeMap<IpAddr, _> = gateways.into_iter().zip(answers).collect();
    for way in ways {
        if let Some(answer) = unchecked(way.reach).and_then(|gateway| answers.get(&gateway))
            && let Reach::Router { link, onlink, .. } = &mut way.reach
        {
            *onlink = !takes_gateway(answer, *link);
        }
    }
    Ok(())
}

fn unchecked(reach: Reach) -> Option<IpAddr> {
    match reach {
        Reach::Router { router, onlink: false, .. } if !is_link_local_v6(router) => Some(router),
        _ => None,
    }
}

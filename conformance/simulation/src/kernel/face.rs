//! The kernel as the agent's reconciler asks it. What is asked is counted, what is changed is written down for the laws.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink::{Family, FibEntry, KernelError, NODE_ROUTE, Onward, Route};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use routes::here::Here;
use routes::kernel::{Message, Refusal, is_pod_link, link_here, message, observed, refusal};
use routes::plan::Change;
use routes::{Key, Routes, overlap};

use super::{Kernel, LOCAL, MAIN, link_message};

/// What was asked of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Dumps of links and addresses, and of routes.
    pub dumps: u64,
    /// Addresses whose route was asked for.
    pub lookups: u64,
    /// Changes that were asked for.
    pub changes: u64,
    /// What was changed since the laws last looked.
    pub done: Vec<Done>,
}

/// A change that an agent asked for.
#[derive(Clone, Debug)]
pub struct Done {
    /// What was asked.
    pub change: Change,
    /// What the kernel answered.
    pub result: Result<(), Errno>,
    /// The route that went by it.
    pub gone: Option<Route>,
    /// How many routes to peers of the agent's own there were when the batch began.
    pub of: usize,
    /// A route that leads there too is made only later in the same batch: packets are lost between.
    pub leaves_gap: bool,
}

impl Kernel {
    fn answers<T>(&mut self, answer: impl FnOnce(&mut Self) -> T) -> Result<T, netlink::Error> {
        if self.failing > 0 {
            self.failing -= 1;
            return Err(netlink::Error::Interrupted);
        }
        Ok(answer(self))
    }

    /// The routes of the agent's own, as it observes them.
    pub fn node_routes(&self) -> Routes {
        self.main().filter(|route| route.protocol == NODE_ROUTE).filter_map(observed).collect()
    }

    fn apply(&mut self, change: &Change) -> (Result<(), Errno>, Option<Route>) {
        let outcome = match message(change) {
            Message::Add(route) => self.add_route(route).map(|()| None),
            Message::Replace(route) => self.replace_route(route),
            Message::Remove(route) => self.remove_route(&route).map(Some),
        };
        match outcome {
            Ok(gone) => (Ok(()), gone),
            Err(errno) => (Err(errno), None),
        }
    }

    fn entry(&self, address: IpAddr) -> Result<FibEntry, KernelError> {
        let route = self.lookup(address).map_err(|errno| KernelError { errno, text: String::new() })?;
        let onward = match route.device {
            Some(device) => Onward::Hop { gateway: route.gateway, device, onlink: route.onlink },
            None => Onward::Unread,
        };
        let is_merged = address.is_ipv4() && !self.is_unmerged;
        let table = if is_merged && route.table == LOCAL { MAIN } else { route.table };
        Ok(FibEntry {
            family: Family::of(address),
            prefix: route.destination.prefix(),
            kind: route.kind,
            table,
            protocol: route.protocol,
            scope: route.scope,
            by_object: false,
            onward,
        })
    }

    /// The links and addresses, as the reconciler sees them.
    pub fn shown(&self) -> Here {
        let links = self.links.iter().filter(|(_, link)| !is_pod_link(&link.name)).filter_map(|(index, link)| {
            let message = RouteNetlinkMessage::NewLink(link_message(*index, link));
            netlink::Link::from_message(&message).map(|link| link_here(&link))
        });
        let links: BTreeMap<_, _> = links.collect();
        let ours = |address: &&netlink::Address| !address.link_scope && links.contains_key(&address.device);
        let addresses = self.addresses.iter().filter(ours).map(|own| (own.device, own.address)).collect();
        Here { links, addresses }
    }
}

impl routes::kernel::Kernel for Kernel {
    fn here(&mut self) -> Result<Here, netlink::Error> {
        self.work.dumps += 1;
        self.answers(|kernel| kernel.shown())
    }

    fn routes(&mut self) -> Result<Routes, netlink::Error> {
        self.work.dumps += 1;
        self.answers(|kernel| kernel.node_routes())
    }

    fn entries(&mut self, addresses: &[IpAddr]) -> Result<Vec<Result<FibEntry, KernelError>>, netlink::Error> {
        self.work.lookups += addresses.len() as u64;
        self.answers(|kernel| addresses.iter().map(|address| kernel.entry(*address)).collect())
    }

    fn change(&mut self, changes: &[Change]) -> Result<Vec<Result<(), Refusal>>, netlink::Error> {
        self.work.changes += changes.len() as u64;
        self.answers(|kernel| {
            let of = kernel
                .main()
                .filter(|route| route.protocol == NODE_ROUTE && route.metric == routes::PEER_METRIC)
                .count();
            let mut answers = Vec::with_capacity(changes.len());
            let mut last_made = changes.iter().rposition(|change| !matches!(change, Change::Remove(_)));
            for (index, change) in changes.iter().enumerate() {
                last_made = last_made.filter(|last| *last > index);
                let leaves_gap = matches!(change, Change::Remove(_))
                    && last_made.is_some_and(|last| {
                        changes[index..=last].iter().any(|later| {
                            !matches!(later, Change::Remove(_))
                                && overlap(later.key().destination, change.key().destination)
                        })
                    });
                let (result, gone) = kernel.apply(change);
                answers.push(result.map_err(|errno| refusal(KernelError { errno, text: String::new() })));
                kernel.work.done.push(Done { change: *change, result, gone, of, leaves_gap });
            }
            answers
        })
    }

    fn holders(&mut self, keys: &BTreeSet<Key>) -> Result<BTreeMap<Key, String>, netlink::Error> {
        self.work.dumps += 1;
        self.answers(|kernel| {
            let foreign = kernel.main().filter(|route| route.protocol != NODE_ROUTE && route.table == MAIN);
            let keyed = foreign.map(|route| (Key { destination: route.destination, metric: route.metric }, route));
            keyed.filter(|(key, _)| keys.contains(key)).map(|(key, route)| (key, route.to_string())).collect()
        })
    }
}

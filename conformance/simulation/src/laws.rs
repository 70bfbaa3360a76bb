//! The laws that are checked at each step.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use netlink::NODE_ROUTE;
use routes::plan::Change;
use routes::{Key, Target};
use state::State;

use crate::fabric::Fabric;
use crate::world::{HOLD, S, Time, World};

/// How long a route waits for the packet filter.
const PATIENCE: Time = 2 * S;

impl World {
    /// After a turn: what the agent changed in the kernel.
    pub(crate) fn check_changes(&mut self, host: usize) {
        let done = std::mem::take(&mut self.hosts[host].kernel.work.done);
        if done.is_empty() {
            return;
        }
        for done in &done {
            if self.transcript.is_some() {
                let name = self.hosts[host].name.clone();
                let words = match (&done.change, &done.result) {
                    (change, Err(errno)) => format!("{name}: the kernel refuses {change:?}: {errno}"),
                    (Change::Add(key, target), _) => format!("{name} adds {} {}", key.destination, words(target)),
                    (Change::Replace(key, target), _) => {
                        format!("{name} replaces {} {}", key.destination, words(target))
                    }
                    (Change::Remove(key), _) => format!("{name} removes {}", key.destination),
                };
                self.tell(|_| words);
            }
            if let Some(gone) = done.gone.as_ref().filter(|gone| gone.protocol != NODE_ROUTE) {
                let text = format!("machine {host}: {:?} took away {gone} proto {}", done.change, gone.protocol);
                self.break_law("foreign routes are untouched", text);
            }
            if done.leaves_gap {
                let text = format!(
                    "machine {host} removes {} before it makes what takes its place",
                    done.change.key().destination
                );
                self.break_law("no good route is missing in between", text);
            }
            if done.result.is_ok()
                && let Change::Add(key, target) | Change::Replace(key, target) = &done.change
            {
                self.check_made(host, *key, *target);
            }
        }
        // By a next hop that the node does not reach any more no list withdraws a route.
        let kernel = &self.hosts[host].kernel;
        let is_near = |gone: &netlink::Route| {
            // Nor one that covers an address of the node.
            let covers = kernel.addresses.iter().any(|own| gone.destination.contains(own.address.ip()));
            !covers && gone.gateway.is_some_and(|via| kernel.lookup(via).is_ok_and(|route| route.gateway.is_none()))
        };
        let peers = done.iter().filter(|done| matches!(done.change, Change::Remove(_)) && !done.change.key().is_own());
        let removed: Vec<(Key, bool)> =
            peers.filter_map(|done| Some((done.change.key(), is_near(done.gone.as_ref()?)))).collect();
        if let Some(done) = done.first() {
            self.check_removed(host, &removed, done.of);
        }
    }

    /// No route leads to a CIDR whose node never had it, and none comes before the masquerade sets have it.
    fn check_made(&mut self, host: usize, key: Key, target: Target) {
        let machine = &self.hosts[host];
        let Target::Hop { via, .. } = target else {
            let is_own = key.is_own()
                && machine
                    .names
                    .iter()
                    .any(|name| self.api.had.get(name).is_some_and(|(cidrs, _)| cidrs.contains(&key.destination)));
            if !is_own {
                let text =
                    format!("machine {host} makes an unreachable route of {}, which it never had", key.destination);
                self.break_law("no route to a CIDR whose node never had it", text);
            }
            return;
        };
        let owners = self.api.owners.get(&key.destination);
        let is_its = |name: &String| {
            *name != machine.name && self.api.had.get(name).is_some_and(|(_, addresses)| addresses.contains(&via))
        };
        let is_router = via == Fabric::router(machine.segment, via.is_ipv4());
        let is_known = owners.is_some_and(|owners| owners.iter().any(is_its) || is_router && self.config.by_routers);
        let is_inside = machine.sides.as_ref().is_some_and(|sides| sides.is_inside(key.destination));
        let waits = |agent: &crate::agent::Agent| agent.filter.is_busy && agent.filter_since + PATIENCE <= self.now;
        let waited = machine.agent.as_deref().is_some_and(waits);
        if !is_known {
            let text = format!(
                "machine {host} routes {} to {via}, and no node of this CIDR ever had that address",
                key.destination
            );
            self.break_law("no route to a CIDR whose node never had it", text);
        } else if !is_inside && !waited {
            let text = format!("machine {host} routes {} before its masquerade sets have it", key.destination);
            self.break_law("masquerade sets before routes", text);
        }
    }

    /// A bad list withdraws no more good routes than the guard's share.
    fn check_removed(&mut self, host: usize, removed: &[(Key, bool)], of: usize) {
        let share = 0.5;
        #[expect(clippy::cast_precision_loss, reason = "counts of routes")]
        let is_more = |count: usize| count > 0 && (count >= of || count as f64 > share * of as f64);
        let Some(agent) = &self.hosts[host].agent else { return };
        // What was held for long enough was asked for all the while, by one list or another; see the drills.
        let was_held = agent.holds_since.is_some_and(|since| since + HOLD - S <= self.now);
        if agent.is_released || was_held || !is_more(removed.len()) {
            return;
        }
        let now = self.now;
        let of_cidr = |agent: &crate::agent::Agent, cidr: IpNetwork| {
            let all = agent.listed.range((cidr, Arc::from(""))..).take_while(|((other, _), _)| *other == cidr);
            all.map(|(_, since)| *since).collect::<Vec<_>>()
        };
        // Some node has lost the CIDR for less than the hold, and none that lost it before.
        let is_fresh = |key: &Key| {
            let all = of_cidr(agent, key.destination);
            !all.is_empty() && all.iter().all(|since| since.is_some_and(|since| since + HOLD > now))
        };
        let fresh = removed.iter().filter(|(key, near)| *near && is_fresh(key)).count();
        if is_more(fresh) {
            let text = format!(
                "machine {host} withdraws {fresh} of {of} routes because of a list that lacks them since less than {} s",
                HOLD / S
            );
            self.break_law("the guard holds what withdraws too much", text);
        }
        let agent = self.hosts[host].agent.as_ref();
        let is_listed = |key: &Key| {
            let all = agent.map(|agent| of_cidr(agent, key.destination)).unwrap_or_default();
            !all.is_empty() && all.iter().all(Option::is_none)
        };
        let listed: Vec<IpNetwork> =
            removed.iter().filter(|(key, _)| is_listed(key)).map(|(key, _)| key.destination).collect();
        if listed.is_empty() {
            return;
        }
        // A route of a listed node goes only where this node does not reach it any more.
        let expected = self.expected(host);
        for cidr in listed {
            if expected.values().any(|outcome| outcome.cidr == cidr && outcome.hop.is_ok()) {
                let text = format!("machine {host} withdraws the route of {cidr}, whose node is listed and reached");
                return self.break_law("a listed node that is reached keeps its route", text);
            }
        }
    }

    /// Notes a list that is delivered to the core.
    pub(crate) fn note_list(&mut self, host: usize, report: &source::Report) {
        let now = self.now;
        let name = self.hosts[host].name.clone();
        if self.transcript.is_some() {
            let words = match report {
                Ok(snapshot) if snapshot.nodes.len() <= 8 => {
                    let names: Vec<&str> = snapshot.nodes.iter().map(|node| &*node.name).collect();
                    format!("{name} gets a list: {}", names.join(" "))
                }
                Ok(snapshot) => format!("{name} gets a list of {} nodes", snapshot.nodes.len()),
                Err(error) => format!("{name} gets no list: {error}"),
            };
            self.tell(|_| words);
        }
        let Ok(snapshot) = report else { return };
        let Some(agent) = &mut self.hosts[host].agent else { return };
        agent.listed_at = Some(now);
        agent.list = Some(snapshot.nodes.clone());
        let mut listed: BTreeMap<(IpNetwork, Arc<str>), Option<Time>> = BTreeMap::new();
        for node in &snapshot.nodes {
            listed.extend(node.pod_cidrs.iter().map(|cidr| ((*cidr, node.name.clone()), None)));
        }
        for (cidr, since) in std::mem::take(&mut agent.listed) {
            listed.entry(cidr).or_insert_with(|| Some(since.unwrap_or(now)));
        }
        agent.listed = listed;
        let own = snapshot.nodes.iter().find(|node| *node.name == *name).map(|node| node.pod_cidrs.to_vec());
        if let Some(own) = own.filter(|own| *own != agent.own.0) {
            agent.own = (own, now);
        }
    }

    /// The configuration by which pods come is written only once `node.json` admits them and the own routes are in.
    pub(crate) fn check_conflist(&mut self, host: usize, own: &[IpNetwork]) {
        let machine = &self.hosts[host];
        let is_filed = machine.run_dir.state.as_ref().is_some_and(|state| state.routed);
        if !is_filed {
            let text = format!("machine {host} writes the conflist before node.json says that pods may come");
            return self.break_law("the conflist follows node.json", text);
        }
        if machine.conflist.as_deref() == Some(own) {
            return;
        }
        let had = self.api.had.get(&machine.name);
        let missing = own.iter().find(|cidr| !had.is_some_and(|(cidrs, _)| cidrs.contains(*cidr)));
        if let Some(cidr) = missing {
            let text = format!("machine {host} leases from {cidr}, which its node never had");
            self.break_law("pools are the node's own CIDRs", text);
        }
    }

    /// What a state says is so.
    pub(crate) fn check_publication(&mut self, host: usize, state: &State) {
        let Some(agent) = &self.hosts[host].agent else { return };
        if state.ready {
            if state.pod_cidrs.is_empty() {
                return self
                    .break_law("ready only with a pod CIDR", format!("machine {host} is ready without a pod CIDR"));
            }
            if !agent.files_state.routed && self.now < agent.started + 2 * S {
                let text = format!("machine {host} is ready before its configuration is written");
                return self.break_law("ready only once the configuration is written", text);
            }
        }
        let own = agent.listed_at.is_some() && state.node != self.hosts[host].name;
        if own {
            let text = format!("machine {host} publishes the state of {}", state.node);
            self.break_law("a state names its own node", text);
        }
    }

    /// A pod of a machine came; its addresses are its node's.
    pub(crate) fn check_pod(&mut self, host: usize, addresses: &[IpAddr]) {
        let machine = &self.hosts[host];
        let Some(agent) = &machine.agent else { return };
        let (own, since) = (&agent.own.0, agent.own.1);
        let settled = since + 10 * S < self.now
            && agent.started + 10 * S < self.now
            // What is held is not in force.
            && agent.held_at + 10 * S < self.now
            && machine.slow == 1
            && machine.filter_stuck < self.now;
        let stray = addresses.iter().find(|address| {
            // A family that the list lacks is kept.
            let has_family = own.iter().any(|cidr| cidr.is_ipv4() == address.is_ipv4());
            has_family && !own.iter().any(|cidr| cidr.contains(**address))
        });
        if let Some(address) =
            stray.filter(|_| settled && !own.is_empty() && agent.published.as_ref().is_some_and(|state| state.ready))
        {
            let text =
                format!("machine {host} leases {address}, which is not in its pod CIDRs {own:?} of the last list");
            self.break_law("pods get addresses of their node's CIDRs", text);
        }
    }
}

fn words(target: &Target) -> String {
    match target {
        Target::Hop { via, link, onlink } => format!("via {via} dev {link}{}", if *onlink { " onlink" } else { "" }),
        Target::Unreachable => "unreachable".to_owned(),
        Target::Foreign => "as nobody knows".to_owned(),
    }
}

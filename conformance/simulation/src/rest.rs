//! The laws that are checked at rest: nothing has changed for a while, and every agent has heard of everything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::{NODE_ROUTE, POD_ROUTE};
use probes::machine::OwnAddress;
use routes::{Key, Target};

use crate::agent::Source;
use crate::walk::Lost;
use crate::world::{S, World};

/// What an agent knows of a node: addresses, pod CIDRs, and the object's uid.
type Listed = (Vec<IpAddr>, Vec<IpNetwork>, Option<String>);

impl World {
    /// Checks everything that must hold at rest.
    pub fn check_rest(&mut self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].agent.is_some() {
                self.check_list(host);
                self.check_plan(host);
                self.check_state(host);
                self.check_pools(host);
            }
            if self.broken.is_some() {
                return;
            }
        }
        self.check_pairs();
    }

    /// In a cluster that was put right every peer is reached, or behind routers that know no pods.
    pub(crate) fn check_whole(&mut self) {
        self.coverage.law("in a cluster that was put right each peer is reached");
        for host in 0..self.hosts.len() {
            let expected = self.expected(host);
            let odd = expected.iter().find(|(_, outcome)| match outcome.hop {
                Ok(_) => false,
                Err(reasons) => {
                    self.config.segments == 1 || self.config.by_routers || !reasons.contains(&"other-segment")
                }
            });
            if let Some(((name, cidr), outcome)) = odd {
                let text = format!("machine {host} does not reach {cidr} of {name}: {:?}", outcome.hop);
                return self.break_law("in a cluster that was put right each peer is reached", text);
            }
        }
    }

    /// The last list of an agent is the API server's.
    fn check_list(&mut self, host: usize) {
        self.coverage.law("the last list is what the source has");
        let Some(agent) = &self.hosts[host].agent else { return };
        let follows = match &agent.source {
            Source::Kubernetes { .. } => !self.api.is_down && self.api.says_part.is_none() && !self.api.says_empty,
            Source::File { .. } => self.file_follows,
        };
        if !follows {
            return;
        }
        let list: BTreeMap<&str, Listed> = agent
            .list
            .iter()
            .flatten()
            .map(|node| {
                (
                    &*node.name,
                    (node.addresses.to_vec(), node.pod_cidrs.to_vec(), node.uid.as_ref().map(ToString::to_string)),
                )
            })
            .collect();
        let is = |object: &crate::api::Object| {
            (object.valid_addresses(), object.valid_cidrs(), Some(format!("uid-{}", object.uid)))
        };
        let truth: BTreeMap<&str, _> = self.api.objects.values().map(|object| (&*object.name, is(object))).collect();
        if list != truth {
            let name = truth.iter().find(|(name, values)| list.get(*name) != Some(values)).map(|(name, _)| *name);
            let name =
                name.or_else(|| list.keys().find(|name| !truth.contains_key(*name)).copied()).unwrap_or_default();
            let text =
                format!("machine {host} has {:?} of {name}, the API server {:?}", list.get(name), truth.get(name));
            self.break_law("the last list is what the source has", text);
        }
    }

    /// Verdicts and routes are what the naive planner says.
    fn check_plan(&mut self, host: usize) {
        self.coverage.law("verdicts and routes are what the list asks for");
        let expected = self.expected(host);
        let machine = &self.hosts[host];
        let Some(agent) = &machine.agent else { return };
        let Some(list) = &agent.list else { return };
        let lacking: Vec<&nodes::Node> = list.iter().filter(|node| self.lacks(node)).collect();
        if lacking.iter().any(|node| *node.name == *machine.name) {
            return;
        }
        // What a node keeps is claimed by it, too.
        let may_be_kept = |cidr: IpNetwork| {
            let had = |node: &&nodes::Node| {
                self.api
                    .had
                    .get(&*node.name)
                    .is_some_and(|(cidrs, _)| cidrs.iter().any(|kept| routes::overlap(*kept, cidr)))
            };
            lacking.iter().any(had)
        };
        let routes = machine.kernel.node_routes();
        let foreign = |key: &Key| {
            machine.kernel.main().any(|route| {
                route.protocol != NODE_ROUTE && route.destination == key.destination && route.metric == key.metric
            })
        };
        let mut words: Vec<(String, String)> = Vec::new();
        let mut fault = None;
        let mut wanted: Vec<Key> = Vec::new();
        for ((name, cidr), outcome) in &expected {
            if may_be_kept(*cidr) {
                wanted.push(Key::peer(*cidr));
                continue;
            }
            let key = Key::peer(*cidr);
            let text = cidr.to_string();
            let line = agent.verdicts.iter().find(|line| line.node == *name && line.cidr == text);
            let Some(line) = line else {
                fault = Some(format!("says nothing of {cidr} of {name}"));
                break;
            };
            words.push((line.verdict.to_string(), line.reason.to_string()));
            match &outcome.hop {
                Ok((via, word)) => {
                    wanted.push(key);
                    let is_right = line.verdict == *word || *word == "direct" && line.verdict == "onlink";
                    let hop = routes.get(&key);
                    let is_in = matches!(hop, Some(Target::Hop { via: by, .. }) if by == via);
                    let trouble = if foreign(&key) { "held-by-foreign-route" } else { "" };
                    if !is_right || line.reason != trouble || is_in == foreign(&key) {
                        fault = Some(format!(
                            "says {} {:?} of {cidr} of {name} and its kernel has {hop:?}: it should be {word} via {via} {trouble:?}",
                            line.verdict, line.reason
                        ));
                    }
                }
                Err(reasons) => {
                    if line.verdict != "skipped" || !reasons.contains(&&*line.reason) {
                        fault = Some(format!(
                            "says {} {:?} of {cidr} of {name}: it should be skipped as one of {reasons:?}",
                            line.verdict, line.reason
                        ));
                    }
                }
            }
        }
        // A node that lacks something may be kept as it was: its CIDRs are those that it had.
        let is_kept = |cidr: &IpNetwork| {
            agent.list.iter().flatten().any(|node| {
                self.lacks(node) && self.api.had.get(&*node.name).is_some_and(|(cidrs, _)| cidrs.contains(cidr))
            })
        };
        let own: Vec<IpNetwork> = agent.own.0.clone();
        let drains = |cidr: &IpNetwork| machine.leased().iter().any(|address| cidr.contains(*address));
        for key in routes.keys() {
            let is_fine = if key.is_own() {
                own.contains(&key.destination) || drains(&key.destination) || is_kept(&key.destination)
            } else {
                wanted.contains(key) || is_kept(&key.destination)
            };
            if !is_fine {
                fault = Some(format!("has a route to {}, which nothing asks for", key.destination));
            }
        }
        for word in words {
            *self.coverage.verdicts.entry(word).or_default() += 1;
        }
        if let Some(fault) = fault {
            let text = format!("machine {host} ({}) {fault}", self.hosts[host].name);
            self.break_law("verdicts and routes are what the list asks for", text);
        }
    }

    /// The own CIDRs are routed nowhere, and the node is ready, unless something contradicts it.
    fn check_state(&mut self, host: usize) {
        self.coverage.law("a node that is listed is ready, its own CIDR unreachable");
        let machine = &self.hosts[host];
        let Some(agent) = &machine.agent else { return };
        let mine = agent.list.iter().flatten().find(|node| *node.name == *machine.name);
        let Some(mine) = mine.filter(|node| !self.lacks(node) && node.malformed.is_empty()) else { return };
        let claimed = |cidr: &IpNetwork| {
            agent.list.iter().flatten().any(|node| {
                node.name != mine.name
                    && (node.pod_cidrs.iter().any(|other| routes::overlap(*other, *cidr))
                        || node.addresses.iter().any(|address| cidr.contains(*address)))
            })
        };
        if mine.pod_cidrs.is_empty() || mine.pod_cidrs.iter().any(claimed) {
            return;
        }
        let is_foreign = |cidr: &IpNetwork| {
            let routes = machine.kernel.table(crate::kernel::MAIN).map_or(&[][..], |table| table.to(*cidr));
            routes.iter().any(|route| route.protocol != NODE_ROUTE && route.metric == routes::OWN_METRIC)
        };
        let routes = machine.kernel.node_routes();
        let missing = mine
            .pod_cidrs
            .iter()
            .find(|cidr| routes.get(&Key::own(**cidr)) != Some(&Target::Unreachable) && !is_foreign(cidr));
        let text = match (&agent.published, missing) {
            (_, Some(cidr)) => Some(format!("has no unreachable route of its own {cidr}")),
            (None, None) => Some("publishes nothing".to_owned()),
            (Some(state), None) if state.held.is_some() => Some(format!("still holds a withdrawal: {:?}", state.held)),
            (Some(state), None) if !state.ready && !mine.pod_cidrs.iter().any(is_foreign) => {
                let leased = machine.leased();
                let is_stray = |address: &IpAddr| !mine.pod_cidrs.iter().any(|cidr| cidr.contains(*address));
                (!leased.iter().any(is_stray)).then(|| format!("is not ready: {:?}", state.reasons))
            }
            _ => None,
        };
        let conflist = (machine.conflist.as_deref() != Some(&*mine.pod_cidrs)
            && text.is_none()
            && agent.published.as_ref().is_some_and(|state| state.ready))
        .then(|| format!("leases from {:?} and its CIDRs are {:?}", machine.conflist, mine.pod_cidrs));
        if let Some(text) = text.or(conflist) {
            let text = format!("machine {host} ({}) {text}", machine.name);
            self.break_law("a node that is listed is ready, its own CIDR unreachable", text);
        }
    }

    /// Everybody whom packets of pods reach is inside of the masquerade sets.
    fn check_pools(&mut self, host: usize) {
        let machine = &self.hosts[host];
        let Some(sides) = &machine.sides else { return };
        let Some(agent) = &machine.agent else { return };
        let outside =
            agent.list.iter().flatten().flat_map(|node| node.pod_cidrs.iter()).find(|cidr| !sides.is_inside(**cidr));
        if let Some(cidr) = outside {
            let text = format!("machine {host} masquerades packets of its pods to {cidr}");
            self.break_law("pods reach pods with their own address", text);
        }
    }

    /// Each pair of pods is reached, with its own source address, or something says why not.
    fn check_pairs(&mut self) {
        let ends: Vec<(usize, IpAddr)> = self
            .hosts
            .iter()
            .filter(|host| host.is_on && host.agent.is_some())
            .flat_map(|host| {
                let mut firsts: Vec<IpAddr> = Vec::new();
                for address in host.leased() {
                    if !firsts.iter().any(|first| first.is_ipv4() == address.is_ipv4()) {
                        firsts.push(address);
                    }
                }
                firsts.into_iter().map(move |address| (host.id, address))
            })
            .collect();
        for (from, source) in &ends {
            for (to, destination) in &ends {
                if from == to || source.is_ipv4() != destination.is_ipv4() {
                    continue;
                }
                self.coverage.law("every pair of pods is reached, or a cause is named");
                let walk = self.walk(*from, *source, *destination);
                let text = match walk {
                    Ok(arrival) if arrival.host == *to && arrival.source == *source => continue,
                    Ok(arrival) if arrival.host != *to => {
                        if self.is_contested(*destination) {
                            continue;
                        }
                        format!("arrives at machine {}", arrival.host)
                    }
                    Ok(arrival) => format!("arrives with the source {}", arrival.source),
                    Err(lost) => {
                        if self.is_named(*from, *to, *source, *destination, lost) {
                            continue;
                        }
                        format!("is lost: {lost:?}")
                    }
                };
                let text = format!(
                    "a packet of the pod {source} of machine {from} to {destination} of machine {to} {text}, and nothing says why"
                );
                return self.break_law("every pair of pods is reached, or a cause is named", text);
            }
        }
    }

    /// Whether several nodes claim an address, or its pod is not of its node's CIDR any more.
    fn is_contested(&self, address: IpAddr) -> bool {
        let claims =
            |object: &&std::rc::Rc<crate::api::Object>| object.valid_cidrs().iter().any(|cidr| cidr.contains(address));
        self.api.objects.values().filter(claims).count() != 1
            || self.hosts.iter().filter(|host| host.has_pod(address)).count() != 1
            || !self.hosts.iter().any(|host| {
                host.has_pod(address)
                    && self
                        .api
                        .objects
                        .get(&host.name)
                        .is_some_and(|object| object.valid_cidrs().iter().any(|cidr| cidr.contains(address)))
            })
    }

    /// Whether a condition names the cause.
    fn is_named(&self, from: usize, to: usize, source: IpAddr, destination: IpAddr, lost: Lost) -> bool {
        // Operators took the address away from its pod.
        if self.is_contested(destination) || self.is_contested(source) {
            return true;
        }
        let verdict = |at: usize, of: usize, address: IpAddr| {
            let Some(agent) = &self.hosts[at].agent else { return false };
            let name = &self.hosts[of].name;
            let lines = agent.verdicts.iter().filter(|line| line.node == *name);
            let bad = |line: &&state::VerdictLine| {
                line.verdict == "skipped" || line.verdict == "kept" || !line.reason.is_empty()
            };
            let concerns = |line: &&state::VerdictLine| {
                line.cidr.is_empty() || line.cidr.parse::<IpNetwork>().is_ok_and(|cidr| cidr.contains(address))
            };
            lines.filter(concerns).any(|line| bad(&line))
        };
        if verdict(from, to, destination) {
            return true;
        }
        match lost {
            // The probes name these; see the probes' drill.
            Lost::Fabric(..) => true,
            Lost::Link(at) => {
                let host = &self.hosts[at];
                host.kernel.links.get(&host.uplink).is_some_and(|link| !link.up || !link.carrier)
            }
            Lost::Foreign(at) => self.has_foreign(at, destination),
            Lost::NoNeighbour(at) => {
                // The peer's own link is down, or its address is not the one that it registered.
                let peer = &self.hosts[to];
                let link = peer.kernel.links.get(&peer.uplink);
                let is_up = link.is_some_and(|link| link.up && link.carrier);
                let registered =
                    self.api.objects.get(&peer.name).map(|object| object.valid_addresses()).unwrap_or_default();
                !is_up
                    || !registered.iter().all(|address| peer.kernel.has_address(*address))
                    || self.is_lacking(to)
                    || at == to
            }
            Lost::NoRoute(at) => self.has_foreign(at, destination) || at != from && self.is_lacking(to),
            Lost::Router => {
                !self.fabric.knows_pods || self.is_lacking(to) || {
                    let peer = &self.hosts[to];
                    !peer.kernel.links.get(&peer.uplink).is_some_and(|link| link.up && link.carrier)
                        || !peer.own_addresses().iter().all(|address| peer.kernel.has_address(address.ip()))
                        // An older store has another address of it.
                        || self.api.objects.get(&peer.name).is_some_and(|object| {
                            object.valid_addresses().iter().any(|address| !peer.kernel.has_address(*address))
                        })
                }
            }
            Lost::Circle => self.hosts.iter().any(|host| self.has_foreign(host.id, destination)),
        }
    }

    fn is_lacking(&self, host: usize) -> bool {
        let name = &self.hosts[host].name;
        self.hosts
            .iter()
            .filter_map(|host| host.agent.as_ref())
            .any(|agent| agent.list.iter().flatten().any(|node| *node.name == **name && self.lacks(node)))
    }

    /// Whether a route or rule of another program decides on an address.
    fn has_foreign(&self, host: usize, address: IpAddr) -> bool {
        let kernel = &self.hosts[host].kernel;
        let is_foreign = |route: &netlink::Route| {
            ![NODE_ROUTE, POD_ROUTE, crate::kernel::PROTO_KERNEL, 16].contains(&route.protocol)
                && route.destination.contains(address)
                && route.destination.prefix() > 0
        };
        kernel.main().any(is_foreign) || kernel.rules.len() > 3
    }

    /// The verdicts of the probes name what the fabric loses.
    pub fn check_paths(&mut self) {
        for host in 0..self.hosts.len() {
            let Some(agent) = &self.hosts[host].agent else { continue };
            let (Some(machine), Some(peers)) = (&agent.probes, &agent.peers) else { continue };
            let report = machine.report(crate::world::PORT);
            let mut words = Vec::new();
            let mut fault = None;
            for peer in peers.peers.iter() {
                let family = peer.family.index();
                let (OwnAddress::At(own), Some(there)) = (peers.own[family], peer.probe) else { continue };
                let Some(to) = self.hosts.iter().position(|other| *other.name == *peer.name) else { continue };
                let Some(its) = self.hosts[to].agent.as_ref() else { continue };
                let its_own = its.peers.as_ref().map(|wanted| (wanted.own[family], wanted.node[family]));
                let Some((OwnAddress::At(its_probe), Some(_))) = its_own else { continue };
                // Where one of them does not know the other, it says so elsewhere.
                let is_known = its
                    .peers
                    .iter()
                    .flat_map(|wanted| wanted.peers.iter())
                    .any(|other| *other.name == *self.hosts[host].name && other.probe == Some(own));
                if its_probe != there || !is_known || peers.node[family].is_none() || peer.node.is_none() {
                    continue;
                }
                let name = if peer.family == netlink::Family::V4 { "ipv4" } else { "ipv6" };
                let line = report.worst.iter().find(|line| line.node == *peer.name && line.family == name);
                let counts = report.counts.get(name);
                let is_cut = |word: &str| counts.and_then(|counts| counts.get(word)).is_some_and(|count| *count > 20);
                let word = line.map_or("open", |line| line.state.as_str());
                let arrives = |from: usize, source: IpAddr, to: usize, address: IpAddr| {
                    self.walk(from, source, address).is_ok_and(|arrival| arrival.host == to && arrival.source == source)
                };
                let there_and_back = (arrives(host, own, to, there), arrives(to, there, host, own));
                let nodes = match (peers.node[family], peer.node) {
                    (Some(mine), Some(its)) => arrives(host, mine, to, its) && arrives(to, its, host, mine),
                    _ => false,
                };
                let right: &[&str] = match (there_and_back, nodes) {
                    ((true, true), _) => &["open"],
                    ((false, _), true) => &["lost-there"],
                    ((true, false), true) => &["lost-back"],
                    (_, false) => &["lost", "peer-dead", "not-probed", "lost-there", "lost-back"],
                };
                words.push(word.to_owned());
                if !right.contains(&word) && !right.iter().any(|word| is_cut(word)) {
                    fault = Some(format!(
                        "machine {host} says {word:?} of the path to machine {to} ({}): there and back {there_and_back:?}, nodes {nodes}: it should say one of {right:?}",
                        peer.name
                    ));
                }
            }
            self.coverage.law("probes name the direction in which packets are lost");
            for word in words {
                *self.coverage.paths.entry(word).or_default() += 1;
            }
            if let Some(fault) = fault {
                return self.break_law("probes name the direction in which packets are lost", fault);
            }
        }
    }

    /// How long a rest lasts: longer than a hold and the longest wait for the API server.
    pub const REST: u64 = 150 * S;
}

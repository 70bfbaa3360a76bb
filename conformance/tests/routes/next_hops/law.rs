//! The law, judged by the output of `ip route`: podlan's own reading of the kernel is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podlan_conformance::lab::{Error, Node, binaries};
use serde_json::{Value, json};

/// A node that need not exist.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    /// One of each family.
    pub(super) cidrs: [String; 2],
}

impl Peer {
    pub(super) fn as_kubernetes(&self) -> Value {
        let address = |address: &IpAddr| json!({ "type": "InternalIP", "address": address.to_string() });
        json!({ "metadata": { "name": self.name }, "spec": { "podCIDRs": self.cidrs },
                "status": { "addresses": self.addresses.iter().map(address).collect::<Vec<_>>() } })
    }
}

/// A next hop by the link's name.
pub(super) type Hop = (String, IpAddr);

/// The kernel's route to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    OnLink(String),
    By(Hop),
    Ours,
    No,
}

fn unreadable(said: impl Into<String>) -> Error {
    Error::Unreadable { from: "ip".into(), said: said.into() }
}

/// The kernel's routes to all addresses of the peers.
pub(super) fn answers(node: &Node, peers: &[Peer]) -> Result<BTreeMap<IpAddr, Answer>, Error> {
    let all: BTreeSet<IpAddr> = peers.iter().flat_map(|peer| peer.addresses.iter().copied()).collect();
    let words: Vec<String> = all.iter().map(IpAddr::to_string).collect();
    let script = format!("for a in {}; do echo $a $(ip -j route get fibmatch $a 2>/dev/null); done", words.join(" "));
    let said = node.shell(&script)?;
    let objects: Value = serde_json::from_str(&node.shell("ip -j nexthop show")?).unwrap_or(Value::Null);
    let mut answers = BTreeMap::new();
    for line in said.lines() {
        let (address, answer) = line.split_once(' ').unwrap_or((line, ""));
        let address: IpAddr = address.parse().map_err(|_| unreadable(line))?;
        let route = serde_json::from_str::<Value>(answer).ok().map(|answer| answer[0].clone());
        answers.insert(address, route.map_or(Answer::No, |route| answer_of(&route, &objects)));
    }
    Ok(answers)
}

fn answer_of(route: &Value, objects: &Value) -> Answer {
    if route["type"] == "local" {
        return Answer::Ours;
    }
    if !route["type"].is_null() && route["type"] != "unicast"
        || !route["nexthops"].is_null()
        || !route["encap"].is_null()
    {
        return Answer::No;
    }
    let hop = if route["dev"].is_null() { object(&route["nhid"], objects) } else { Some(route.clone()) };
    let Some(hop) = hop else { return Answer::No };
    let Some(dev) = hop["dev"].as_str().filter(|dev| *dev != "lo") else { return Answer::No };
    gateway(&hop).map_or_else(|| Answer::OnLink(dev.to_owned()), |gateway| Answer::By((dev.to_owned(), gateway)))
}

/// The nexthop object with that number, or the only member of the group.
fn object(id: &Value, objects: &Value) -> Option<Value> {
    let found = objects.as_array()?.iter().find(|object| object["id"] == *id)?;
    match found["group"].as_array() {
        None => Some(found.clone()),
        Some(members) => {
            let [only] = &members[..] else { return None };
            object(&only["id"], objects)
        }
    }
}

fn gateway(hop: &Value) -> Option<IpAddr> {
    hop["gateway"].as_str().or(hop["via"]["host"].as_str())?.parse().ok()
}

/// The routes with the agent's protocol number, without those of the own CIDR.
fn ours(node: &Node) -> Result<BTreeMap<String, Hop>, Error> {
    let mut routes = BTreeMap::new();
    for family in ["-4", "-6"] {
        let said = node.shell(&format!("ip -j {family} route show proto 110"))?;
        let said: Value = serde_json::from_str(&said).map_err(|_| unreadable(&said))?;
        for route in said.as_array().into_iter().flatten().filter(|route| route["type"].is_null()) {
            let hop = gateway(route).zip(route["dev"].as_str());
            let (gateway, dev) = hop.ok_or_else(|| unreadable(route.to_string()))?;
            routes.insert(route["dst"].as_str().unwrap_or_default().to_owned(), (dev.to_owned(), gateway));
        }
    }
    Ok(routes)
}

/// Whether podlan's routes match the kernel's current answers.
pub(super) fn holds(node: &Node, peers: &[Peer], by_routers: bool) -> Result<(), String> {
    let said = |error: Error| error.to_string();
    let (answers, routes) = (answers(node, peers).map_err(said)?, ours(node).map_err(said)?);
    let mut wrong = Vec::new();
    let mut silent = BTreeSet::new();
    for peer in peers {
        for cidr in &peer.cidrs {
            let right = right(peer, cidr.contains(':'), by_routers, &answers);
            match routes.get(cidr) {
                Some(hop) if !right.contains(hop) => {
                    wrong.push(format!(
                        "{} {cidr} has the next hop {hop:?}, right is {right:?}: {:?}",
                        peer.name, peer.addresses
                    ));
                }
                None => drop(silent.insert((peer.name.as_str(), cidr.as_str(), !right.is_empty()))),
                Some(_) => {}
            }
        }
    }
    wrong.extend(without_reason(node, silent)?);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The next hops that match the kernel's answers.
fn right(peer: &Peer, v6: bool, by_routers: bool, answers: &BTreeMap<IpAddr, Answer>) -> Vec<Hop> {
    let addresses = peer.addresses.iter().filter(|address| address.is_ipv6() == v6);
    let hop = |address: &IpAddr| match answers.get(address)? {
        Answer::OnLink(dev) => Some((dev.clone(), *address)),
        Answer::By(hop) if by_routers || peer.addresses.contains(&hop.1) => Some(hop.clone()),
        Answer::By(_) | Answer::Ours | Answer::No => None,
    };
    addresses.filter_map(hop).collect()
}

/// The peers that have no route and no verdict with the reason. Where the kernel reaches one, there is only one
/// possible reason: the kernel refuses such a route.
fn without_reason(node: &Node, silent: BTreeSet<(&str, &str, bool)>) -> Result<Vec<String>, String> {
    let run = || node.command(binaries::find("podlan-node")?).args(["status", "--json"]).run();
    let status: Value = serde_json::from_str(&run().map_err(|error| error.to_string())?.stdout).unwrap_or(Value::Null);
    let lines = || status["peers"].as_array().into_iter().flatten();
    let gives_reason = |(name, cidr, reached): &(&str, &str, bool)| {
        let mut lines = lines().filter(|line| line["node"] == *name && line["cidr"] == *cidr);
        lines.any(|line| match reached {
            true => line["reason"] == "refused-by-kernel",
            false => line["verdict"] == "skipped" && line["reason"] != "",
        })
    };
    let quiet = silent.into_iter().filter(|one| !gives_reason(one));
    Ok(quiet
        .map(|(name, cidr, reached)| format!("no verdict gives the reason why {name} {cidr} has no route ({reached})"))
        .collect())
}

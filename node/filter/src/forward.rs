//! Finds rules of other programs that drop what this node forwards between pods: Docker sets the policy of FORWARD to
//! drop, firewalld rejects what no zone allows. An accept verdict in a chain of podlan's cannot overrule them, so they
//! are reported.
//!
//! `--accept-forward` overrides a *policy* only: two rules for each pod CIDR of this node are appended to such a chain,
//! after all its rules, so that what another program forbids by a rule stays forbidden.

mod accept;
mod judge;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use ipnetwork::IpNetwork;
use netlink::Family;
use netlink::HOST_LINK_PREFIX;
use nftables::{BaseChain, Error, ForeignRule, Nfnetlink, base_chains, rules};

pub(super) use accept::{accept, withdraw};
pub use judge::Packet;
pub(super) use judge::{Fate, Judgement, judge};

/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;

/// A chain that drops traffic between pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardDrop {
    /// Such as `ip filter FORWARD`: family, table, chain.
    pub chain: String,
    /// What drops the packet there.
    pub by: By,
    /// False where a rule that podlan cannot interpret may accept it.
    pub certain: bool,
    /// What an operator can do about it.
    pub cure: String,
}

/// What drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The chain's policy: no rule accepts it.
    Policy,
    /// A rule.
    Rule,
    /// Legacy iptables (before nftables): its rules are not read.
    Legacy,
}

impl fmt::Display for ForwardDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.certain { "drops" } else { "may drop" };
        let by = match self.by {
            By::Policy => "by its policy",
            By::Rule => "by a rule",
            By::Legacy => "(its rules cannot be read)",
        };
        write!(f, "the chain {} {verb} traffic between pods {by}: {}", self.chain, self.cure)
    }
}

/// The packets by which chains are judged: between two pods of this node, and both directions between a pod of this
/// node and one of a peer. `peers` are pod CIDRs, each with the name of the link to it.
pub fn packets(own: &[IpNetwork], peers: &[(IpNetwork, &str)]) -> Vec<Packet> {
    let pod = |cidr: &IpNetwork, number| cidr.iter().nth(number).unwrap_or(cidr.ip());
    let link = format!("{HOST_LINK_PREFIX}0");
    let mut packets = Vec::new();
    for cidr in own {
        let (one, other) = (pod(cidr, 2), pod(cidr, 3));
        let mut packet = |source, destination, incoming: &str, outgoing: &str| {
            packets.push(Packet { source, destination, incoming: incoming.into(), outgoing: outgoing.into() });
        };
        packet(one, other, &link, &link);
        if let Some((peer, uplink)) = peers.iter().find(|(peer, _)| peer.is_ipv4() == cidr.is_ipv4()) {
            packet(one, pod(peer, 2), &link, uplink);
            packet(pod(peer, 2), one, uplink, &link);
        }
    }
    packets
}

/// Queries the kernel's rules for what happens to `packets`.
pub fn look(socket: &mut Nfnetlink, packets: &[Packet]) -> Result<Vec<ForwardDrop>, Error> {
    let mut findings = Vec::new();
    for chain in base_chains(socket, FORWARD)? {
        if let Some((by, certain)) = verdict(socket, &chain, packets)? {
            let name = format!("{} {} {}", chain.family.name(), chain.table, chain.name);
            findings.push(ForwardDrop { cure: cure(&chain, by), chain: name, by, certain });
        }
    }
    findings.extend(legacy());
    Ok(findings)
}

/// Follows packets through one chain; its rules are queried once.
pub(super) struct Walk<'a> {
    chain: &'a BaseChain,
    known: BTreeMap<String, Vec<ForeignRule>>,
}

impl<'a> Walk<'a> {
    pub(super) fn of(chain: &'a BaseChain) -> Self {
        Self { chain, known: BTreeMap::new() }
    }

    /// `None` for a packet that the chain never sees.
    pub(super) fn judge(&mut self, socket: &mut Nfnetlink, packet: &Packet) -> Result<Option<Judgement>, Error> {
        let sees = self.chain.family.sees(Family::of(packet.source));
        let mut ask = |name: &str| -> Result<Vec<ForeignRule>, Error> {
            if let Some(known) = self.known.get(name) {
                return Ok(known.clone());
            }
            let found = rules(socket, self.chain.family, &self.chain.table, name)?;
            self.known.insert(name.to_owned(), found.clone());
            Ok(found)
        };
        sees.then(|| judge(packet, &self.chain.name, &mut ask)).transpose()
    }
}

/// The worst outcome of a chain for one of the packets.
fn verdict(socket: &mut Nfnetlink, chain: &BaseChain, packets: &[Packet]) -> Result<Option<(By, bool)>, Error> {
    let mut walk = Walk::of(chain);
    let mut worst: Option<(By, bool)> = None;
    for packet in packets {
        let Some(judgement) = walk.judge(socket, packet)? else { continue };
        let by = match judgement.fate {
            Fate::Dropped => By::Rule,
            Fate::Undecided if chain.drops => By::Policy,
            Fate::Undecided | Fate::Accepted | Fate::Translated => continue,
        };
        if worst.is_none_or(|(_, certain)| judgement.certain && !certain) {
            worst = Some((by, judgement.certain));
        }
    }
    Ok(worst)
}

fn cure(chain: &BaseChain, by: By) -> String {
    match (chain.table.as_str(), chain.family, by) {
        ("firewalld", ..) => "firewall-cmd --permanent --zone=trusted --add-source=POD-CIDR for the pod CIDRs of all \
                              nodes, then firewall-cmd --reload"
            .to_owned(),
        (_, _, By::Policy) => {
            "podlan-node run --accept-forward, or accept the pod CIDRs there (for Docker: in the chain DOCKER-USER)"
                .to_owned()
        }
        _ => "accept the pod CIDRs before that rule".to_owned(),
    }
}

/// The tables of legacy iptables with a FORWARD chain, where the kernel has any.
fn legacy() -> Vec<ForwardDrop> {
    let files = [("/proc/net/ip_tables_names", "iptables-legacy"), ("/proc/net/ip6_tables_names", "ip6tables-legacy")];
    let has_filter =
        |path: &str| fs::read_to_string(path).is_ok_and(|names| names.lines().any(|name| name == "filter"));
    let finding = |program: &str| ForwardDrop {
        chain: format!("FORWARD of {program}"),
        by: By::Legacy,
        certain: false,
        cure: format!("check it with {program} -S FORWARD: its policy should be ACCEPT"),
    };
    files.into_iter().filter(|(path, _)| has_filter(path)).map(|(_, program)| finding(program)).collect()
}

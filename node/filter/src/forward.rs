//! Finds rules of other programs that drop what this node forwards between pods: Docker sets the policy of FORWARD to
//! drop, firewalld rejects what no zone allows. An accept verdict in a chain of podlan's cannot overrule them, so they
//! are reported. So are rules at the other hooks that a forwarded packet meets: raw and mangle, ingress and egress of its
//! links, and those of a bridge that is one of them.
//!
//! `--accept-forward` overrides a *policy* only: two rules for each pod CIDR of this node are appended to such a chain,
//! after all its rules, so that what another program forbids by a rule stays forbidden.

mod accept;
mod judge;
mod stage;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::rc::Rc;

use ipnetwork::IpNetwork;
use netlink::Family;
use netlink::HOST_LINK_PREFIX;
use nftables::{BaseChain, Error, ForeignRule, Nfnetlink, all_base_chains, rules};

pub(super) use accept::{accept, withdraw};
pub(super) use judge::{Fate, Judgement, judge};
pub use judge::{Packet, Protocol, RulePlace, Transport};
use stage::Stage;

/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;

/// The number of peers whose packets are followed. Rules name links and the cluster's subnet, seldom single nodes.
const PEERS: usize = 64;

/// A chain that drops traffic between pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardDrop {
    /// Such as `ip filter FORWARD`: family, table, chain.
    pub chain: String,
    /// Where the chain is on a packet's way, such as `forward` or `prerouting`.
    pub hook: &'static str,
    /// The rule that drops it, where one does.
    pub rule: Option<RulePlace>,
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

impl ForwardDrop {
    /// The chain, with its hook where that is not `forward`.
    pub fn place(&self) -> String {
        if self.hook == "forward" { self.chain.clone() } else { format!("{} (hook {})", self.chain, self.hook) }
    }

    /// By what it drops.
    pub fn by(&self) -> String {
        match (self.by, &self.rule) {
            (By::Policy, _) => "by its policy".to_owned(),
            (By::Legacy, _) => "(its rules cannot be read)".to_owned(),
            (By::Rule, None) => "by a rule".to_owned(),
            (By::Rule, Some(RulePlace { chain, handle })) if self.chain.ends_with(&format!(" {chain}")) => {
                format!("by its rule with handle {handle}")
            }
            (By::Rule, Some(RulePlace { chain, handle })) => {
                format!("by the rule with handle {handle} of the chain {chain}, to which it jumps")
            }
        }
    }
}

impl fmt::Display for ForwardDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.certain { "drops" } else { "may drop" };
        write!(f, "the chain {} {verb} traffic between pods {}: {}", self.place(), self.by(), self.cure)
    }
}

/// The packets by which chains are judged: between two pods of this node, and both directions between a pod of this
/// node and one of a peer, of many peers some. `peers` are pod CIDRs, each with the name of the link to it.
///
/// `pods` are living pods of this node, each with the name of its host link. Without any the packets are those of some pod,
/// of whose link only the beginning of the name is known.
pub fn packets(own: &[IpNetwork], peers: &[(IpNetwork, &str)], pods: &[(IpAddr, &str)]) -> Vec<Packet> {
    let pod = |cidr: &IpNetwork, number| cidr.iter().nth(number).unwrap_or(cidr.ip());
    let mut packets = Vec::new();
    for cidr in own {
        let mut living = pods.iter().filter(|(pod, _)| cidr.contains(*pod)).copied();
        let (one, link) = living.next().unwrap_or((pod(cidr, 2), HOST_LINK_PREFIX));
        let (other, other_link) = living.next().unwrap_or((pod(cidr, 3), HOST_LINK_PREFIX));
        let mut packet = |source, destination, incoming: &str, outgoing: &str| {
            let (indexes, transport) = ([None; 2], Transport::default());
            let (incoming, outgoing) = (incoming.into(), outgoing.into());
            packets.push(Packet { source, destination, incoming, outgoing, indexes, transport });
        };
        packet(one, other, link, other_link);
        let of_family = || peers.iter().filter(|(peer, _)| peer.is_ipv4() == cidr.is_ipv4());
        for (peer, uplink) in of_family().step_by(of_family().count().div_ceil(PEERS).max(1)) {
            packet(one, pod(peer, 2), link, uplink);
            packet(pod(peer, 2), one, uplink, link);
        }
    }
    packets
}

/// Queries the kernel's rules, at all hooks that a forwarded packet meets, for what happens to `packets`. `bridges` are the
/// names of the links that are bridges.
pub fn look(socket: &mut Nfnetlink, packets: &[Packet], bridges: &[String]) -> Result<Vec<ForwardDrop>, Error> {
    let mut findings = Vec::new();
    for chain in all_base_chains(socket)? {
        let Some(stage) = Stage::of(&chain) else { continue };
        if let Some(judgement) = verdict(socket, &chain, stage, packets, bridges)? {
            let by = if judgement.fate == Fate::Dropped { By::Rule } else { By::Policy };
            let Judgement { certain, rule, .. } = judgement;
            let name = format!("{} {} {}", chain.family.name(), chain.table, chain.name);
            let (cure, hook) = (cure(&chain, stage, by, rule.as_ref()), stage.name());
            findings.push(ForwardDrop { chain: name, hook, rule, by, certain, cure });
        }
    }
    findings.extend(legacy());
    Ok(findings)
}

/// Follows packets through one chain; its rules are queried once.
pub(super) struct Walk<'a> {
    chain: &'a BaseChain,
    known: BTreeMap<String, Rc<[ForeignRule]>>,
}

impl<'a> Walk<'a> {
    pub(super) fn of(chain: &'a BaseChain) -> Self {
        Self { chain, known: BTreeMap::new() }
    }

    /// `None` for a packet that the chain never sees.
    pub(super) fn judge(&mut self, socket: &mut Nfnetlink, packet: &Packet) -> Result<Option<Judgement>, Error> {
        let sees = self.chain.family.sees(Family::of(packet.source));
        let mut ask = |name: &str| -> Result<Rc<[ForeignRule]>, Error> {
            if let Some(known) = self.known.get(name) {
                return Ok(known.clone());
            }
            let found: Rc<[ForeignRule]> = rules(socket, self.chain.family, &self.chain.table, name)?.into();
            self.known.insert(name.to_owned(), found.clone());
            Ok(found)
        };
        sees.then(|| judge(packet, &self.chain.name, &mut ask)).transpose()
    }
}

/// The worst outcome of a chain for one of the packets.
fn verdict(
    socket: &mut Nfnetlink,
    chain: &BaseChain,
    stage: Stage,
    packets: &[Packet],
    bridges: &[String],
) -> Result<Option<Judgement>, Error> {
    let mut walk = Walk::of(chain);
    let mut worst: Option<Judgement> = None;
    for packet in packets.iter().filter_map(|packet| stage.sees(chain, packet, bridges)) {
        let Some(judgement) = walk.judge(socket, &packet)? else { continue };
        let drops = judgement.fate == Fate::Dropped || judgement.fate == Fate::Undecided && chain.drops;
        if drops && worst.as_ref().is_none_or(|worst| judgement.certain && !worst.certain) {
            worst = Some(judgement);
        }
    }
    Ok(worst)
}

fn cure(chain: &BaseChain, stage: Stage, by: By, rule: Option<&RulePlace>) -> String {
    match (chain.table.as_str(), by, rule) {
        ("firewalld", ..) => "firewall-cmd --permanent --zone=trusted --add-source=POD-CIDR for the pod CIDRs of all \
                              nodes, then firewall-cmd --reload"
            .to_owned(),
        (_, By::Policy, _) if stage == Stage::Forward => {
            "add --accept-forward to the arguments of the agent (in Kubernetes: args of the DaemonSet podlan), or accept the \
             pod CIDRs there (for Docker: in the chain DOCKER-USER)"
                .to_owned()
        }
        (table, By::Rule, Some(RulePlace { chain: name, handle })) => format!(
            "accept the pod CIDRs before that rule, where it is configured; nft -a list chain {} {table} {name} shows \
             it (handle {handle})",
            chain.family.name()
        ),
        _ => "accept the pod CIDRs there, where that program is configured".to_owned(),
    }
}

/// The tables of legacy iptables with a FORWARD chain, where the kernel has any.
fn legacy() -> Vec<ForwardDrop> {
    let files = [("/proc/net/ip_tables_names", "iptables-legacy"), ("/proc/net/ip6_tables_names", "ip6tables-legacy")];
    let has_filter =
        |path: &str| fs::read_to_string(path).is_ok_and(|names| names.lines().any(|name| name == "filter"));
    let finding = |program: &str| ForwardDrop {
        chain: format!("FORWARD of {program}"),
        hook: Stage::Forward.name(),
        rule: None,
        by: By::Legacy,
        certain: false,
        cure: format!("check it with {program} -S FORWARD: its policy should be ACCEPT"),
    };
    files.into_iter().filter(|(path, _)| has_filter(path)).map(|(_, program)| finding(program)).collect()
}

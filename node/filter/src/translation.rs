//! Finds rules that give a packet that this node forwards another address: podlan's masquerade, or rules of other
//! programs. Changes nothing.

use nftables::{Error, Nfnetlink, TableFamily, all_base_chains};

use super::forward::{Fate, Packet, RulePlace, Walk};

/// `NF_INET_PRE_ROUTING`, `NF_INET_POST_ROUTING`.
const PRE_ROUTING: u32 = 0;
const POST_ROUTING: u32 = 4;

/// A chain that translates the first packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Such as `ip nat POSTROUTING`: family, table, chain.
    pub chain: String,
    /// The rule that translates it, where one is known.
    pub rule: Option<RulePlace>,
    /// Which address of the packet.
    pub side: Side,
    /// False where a rule that podlan cannot interpret decides.
    pub certain: bool,
}

/// An address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Its source: masquerade, SNAT.
    Source,
    /// Its destination: DNAT, redirect.
    Destination,
}

impl Translation {
    /// The chain, and the rule in it.
    pub fn place(&self) -> String {
        match &self.rule {
            Some(RulePlace { chain, handle }) if self.chain.ends_with(&format!(" {chain}")) => {
                format!("{} by its rule with handle {handle}", self.chain)
            }
            Some(RulePlace { chain, handle }) => {
                format!("{} by the rule with handle {handle} of the chain {chain}, to which it jumps", self.chain)
            }
            None => self.chain.clone(),
        }
    }
}

/// Queries the kernel's rules for what happens to the packet's addresses.
pub fn look(socket: &mut Nfnetlink, packet: &Packet) -> Result<Vec<Translation>, Error> {
    look_at(socket, std::slice::from_ref(packet))
}

/// The same for several packets: each chain once, at its worst.
pub fn look_at(socket: &mut Nfnetlink, packets: &[Packet]) -> Result<Vec<Translation>, Error> {
    let mut found = Vec::new();
    for chain in all_base_chains(socket)? {
        let ip = matches!(chain.family, TableFamily::Inet | TableFamily::Ipv4 | TableFamily::Ipv6);
        let side = match chain.hook {
            POST_ROUTING => Side::Source,
            PRE_ROUTING => Side::Destination,
            _ => continue,
        };
        // Of podlan's own: no packet between pods is for an address of the node.
        if !ip || chain.kind != "nat" || chain.table == hostport::NAME {
            continue;
        }
        let (mut walk, mut worst) = (Walk::of(&chain), None::<Translation>);
        for packet in packets {
            let outgoing = if side == Side::Source { packet.outgoing.clone() } else { String::new() };
            let Some(judgement) = walk.judge(socket, &Packet { outgoing, ..packet.clone() })? else { continue };
            let certain = judgement.fate == Fate::Translated && judgement.certain;
            if (certain || !judgement.certain) && worst.as_ref().is_none_or(|worst| certain && !worst.certain) {
                let name = format!("{} {} {}", chain.family.name(), chain.table, chain.name);
                worst = Some(Translation { chain: name, rule: judgement.rule.filter(|_| certain), side, certain });
            }
        }
        found.extend(worst);
    }
    Ok(found)
}

//! What a chain does with the first packet of a connection between pods: a walk over its rules with what is known of
//! the packet. Where a rule needs more than is known, the judgement is uncertain. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink::Family;
use nftables::{Cmp, End, Field, ForeignRule, Step, octets};

/// The first packet of a TCP connection that the node forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The pod that sends.
    pub source: IpAddr,
    /// The pod that receives.
    pub destination: IpAddr,
    /// The name of the link on which it arrives; "" where it is unknown.
    pub incoming: String,
    /// The name of the link by which it leaves; "" where it is unknown.
    pub outgoing: String,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Accepted,
    /// A rule drops it.
    Dropped,
    /// A rule gives it another address.
    Translated,
    /// No rule decides.
    Undecided,
}

/// A fate, and whether it is certain: no rule that podlan cannot interpret could have decided earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) fate: Fate,
    pub(crate) certain: bool,
}

/// How deep jumps are followed; the kernel allows 16.
const DEPTH: usize = 16;

/// Walks through `chain`; `rules` returns the rules of a chain.
pub(crate) fn judge<E>(
    packet: &Packet,
    chain: &str,
    rules: &mut dyn FnMut(&str) -> Result<Vec<ForeignRule>, E>,
) -> Result<Judgement, E> {
    walk(packet, chain, rules, DEPTH)
}

fn walk<E>(
    packet: &Packet,
    chain: &str,
    rules: &mut dyn FnMut(&str) -> Result<Vec<ForeignRule>, E>,
    depth: usize,
) -> Result<Judgement, E> {
    let mut certain = true;
    let judgement = |fate, certain| Ok(Judgement { fate, certain });
    if depth == 0 {
        return judgement(Fate::Undecided, false);
    }
    for rule in rules(chain)? {
        let (end, sure) = match apply(packet, &rule) {
            Applied::Goes(on) => {
                certain &= on;
                continue;
            }
            Applied::Ends(end, sure) => (end, sure),
        };
        match (end, sure) {
            (End::Accept, true) => return judgement(Fate::Accepted, certain),
            (End::Accept, false) => certain = false,
            (End::Drop, true) => return judgement(Fate::Dropped, certain),
            (End::Translate, true) => return judgement(Fate::Translated, certain),
            (End::Return, true) => return judgement(Fate::Undecided, certain),
            // A rule that only may drop, or only may skip the rest, does not count as a drop.
            (End::Drop | End::Return, false) => {}
            (End::Translate, false) => certain = false,
            (End::Jump(to), sure) => {
                let inner = walk(packet, &to, rules, depth - 1)?;
                match inner.fate {
                    Fate::Accepted | Fate::Dropped | Fate::Translated if sure => {
                        return judgement(inner.fate, certain && inner.certain);
                    }
                    Fate::Accepted | Fate::Translated => certain = false,
                    Fate::Dropped | Fate::Undecided => certain &= inner.certain,
                }
            }
            (End::Goto(to), true) => {
                let inner = walk(packet, &to, rules, depth - 1)?;
                return judgement(inner.fate, certain && inner.certain);
            }
            (End::Goto(_), false) => certain = false,
        }
    }
    judgement(Fate::Undecided, certain)
}

/// What one rule does.
enum Applied {
    /// The next one decides; false where this one may have decided.
    Goes(bool),
    /// It decides; false where it may not apply.
    Ends(End, bool),
}

fn apply(packet: &Packet, rule: &ForeignRule) -> Applied {
    let mut registers: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut sure = true;
    for step in &rule.steps {
        match step {
            Step::Load { register, what } => match value(packet, *what) {
                Some(value) => drop(registers.insert(*register, value)),
                None => drop(registers.remove(register)),
            },
            Step::Mask { from, to, mask, xor } => {
                let masked = registers.get(from).filter(|value| value.len() >= mask.len()).map(|value| {
                    let bits = value.iter().zip(mask).zip(xor);
                    bits.map(|((value, mask), xor)| (value & mask) ^ xor).collect()
                });
                match masked {
                    Some(value) => drop(registers.insert(*to, value)),
                    None => drop(registers.remove(to)),
                }
            }
            Step::Compare { register, op, value } => {
                match registers.get(register).and_then(|held| held.get(..value.len())) {
                    Some(held) if (held == value) == (*op == Cmp::Equal) => {}
                    Some(_) => return Applied::Goes(true),
                    None => sure = false,
                }
            }
            Step::Lookup { register, op, values } => match registers.get(register) {
                Some(held) if values.contains(held) == (*op == Cmp::Equal) => {}
                Some(_) => return Applied::Goes(true),
                None => sure = false,
            },
            Step::Within { register, op, subnets } => match registers.get(register).and_then(|held| address(held)) {
                Some(held) if subnets.iter().any(|subnet| subnet.contains(held)) == (*op == Cmp::Equal) => {}
                Some(_) => return Applied::Goes(true),
                None => sure = false,
            },
            Step::Extension { name, parameters } => match extension(name, parameters) {
                Some(true) => {}
                Some(false) => return Applied::Goes(true),
                None => sure = false,
            },
            Step::End(end) => return Applied::Ends(end.clone(), sure),
            Step::Neutral => {}
            Step::Unknown => sure = false,
        }
    }
    // A rule that ends in an unknown action may have accepted.
    Applied::Goes(!matches!(rule.steps.last(), Some(Step::Unknown)))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `IP_CT_NEW` as a bit of the state.
const NEW: u32 = 8;

fn value(packet: &Packet, what: Field) -> Option<Vec<u8>> {
    let family = Family::of(packet.source);
    let name = |name: &str| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, 0);
        bytes
    };
    match what {
        Field::IncomingLinkName => Some(name(&packet.incoming)),
        Field::OutgoingLinkName => Some(name(&packet.outgoing)),
        Field::AddressFamily => Some(vec![family.number()]),
        Field::EtherType => Some(match family {
            Family::V4 => vec![0x08, 0x00],
            Family::V6 => vec![0x86, 0xdd],
        }),
        Field::TransportProtocol => Some(vec![6]),
        Field::Mark | Field::ConnectionStatus => Some(vec![0; 4]),
        Field::ConnectionState => Some(NEW.to_ne_bytes().to_vec()),
        Field::NetworkHeader { offset, length } => {
            // RFC 791, RFC 8200: the source, followed by the destination.
            let source = match family {
                Family::V4 => 12,
                Family::V6 => 8,
            };
            let start = usize::try_from(offset).ok()?.checked_sub(source)?;
            let addresses = [octets(packet.source), octets(packet.destination)].concat();
            addresses.get(start..start.checked_add(usize::try_from(length).ok()?)?).map(<[u8]>::to_vec)
        }
        Field::Unknown => None,
    }
}

/// Whether an extension of iptables matches a new connection without a mark; `None` where that is not known.
fn extension(name: &str, parameters: &[u8]) -> Option<bool> {
    let half = |at: usize| parameters.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    let whole = |at: usize| parameters.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    match name {
        "comment" => Some(true),
        // linux/netfilter/xt_conntrack.h, `xt_conntrack_mtinfo3`: match_flags, invert_flags, state_mask.
        "conntrack" => match (half(146)?, half(148)?) {
            (1, 0) => Some(u32::from(half(150)?) & NEW != 0),
            (1, 1) => Some(u32::from(half(150)?) & NEW == 0),
            _ => None,
        },
        "state" => Some(whole(0)? & NEW != 0),
        // linux/netfilter/xt_mark.h, `xt_mark_mtinfo1`: mark, mask, invert.
        "mark" => Some((whole(0)? == 0) != (*parameters.get(8)? != 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! What a chain does with the first packet of a connection between pods: a walk over its rules with what is known of
//! the packet. Where a rule needs more than is known, the judgement is uncertain. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use netlink::{Family, HOST_LINK_PREFIX};
use nftables::{Cmp, End, Field, ForeignRule, Step, octets};

mod extension;

/// The first packet of a connection that the node forwards.
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
    /// The indexes of the two, where they are known.
    pub indexes: [Option<u32>; 2],
    /// What it carries.
    pub transport: Transport,
}

/// What a packet carries. Rules by a port apply only where the port is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The destination port.
    pub port: Option<u16>,
}

/// The transport protocol, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `IPPROTO_TCP`
    Tcp = 6,
    /// `IPPROTO_UDP`
    Udp = 17,
}

/// TCP to some port.
impl Default for Transport {
    fn default() -> Self {
        Self { protocol: Protocol::Tcp, port: None }
    }
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) fate: Fate,
    pub(crate) certain: bool,
    /// The rule that decides; `None` where none does.
    pub(crate) rule: Option<RulePlace>,
}

/// Where a rule is in its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// The chain's name.
    pub chain: String,
    /// The rule's handle: `nft -a list chain FAMILY TABLE CHAIN` shows it.
    pub handle: u64,
}

/// How deep jumps are followed; the kernel allows 16.
const DEPTH: usize = 16;

/// Returns the rules of a chain.
type RulesOf<'a, E> = dyn FnMut(&str) -> Result<Rc<[ForeignRule]>, E> + 'a;

/// Walks through `chain`; `rules` returns the rules of a chain.
pub(crate) fn judge<E>(packet: &Packet, chain: &str, rules: &mut RulesOf<'_, E>) -> Result<Judgement, E> {
    walk(packet, &mut Some(0), chain, rules, DEPTH)
}

/// `mark` is the packet's mark; `None` where a rule that may not apply changes it.
fn walk<E>(
    packet: &Packet,
    mark: &mut Option<u32>,
    chain: &str,
    rules: &mut RulesOf<'_, E>,
    depth: usize,
) -> Result<Judgement, E> {
    let mut certain = true;
    let undecided = |certain| Ok(Judgement { fate: Fate::Undecided, certain, rule: None });
    if depth == 0 {
        return undecided(false);
    }
    for rule in rules(chain)?.iter() {
        let place = RulePlace { chain: chain.to_owned(), handle: rule.handle };
        let decided = |fate, certain| Ok(Judgement { fate, certain, rule: Some(place) });
        let (end, sure) = match apply(packet, mark, rule) {
            Applied::Goes(on) => {
                certain &= on;
                continue;
            }
            Applied::Ends(end, sure) => (end, sure),
        };
        match (end, sure) {
            (End::Accept, true) => return decided(Fate::Accepted, certain),
            (End::Accept, false) => certain = false,
            (End::Drop, true) => return decided(Fate::Dropped, certain),
            (End::Translate, true) => return decided(Fate::Translated, certain),
            (End::Return, true) => return undecided(certain),
            // A rule that only may drop, or only may skip the rest, does not count as a drop.
            (End::Drop | End::Return, false) => {}
            (End::Translate, false) => certain = false,
            (End::Jump(to), sure) => {
                let before = *mark;
                let inner = walk(packet, mark, &to, rules, depth - 1)?;
                if !sure && *mark != before {
                    *mark = None;
                }
                let inner = of_some_pod(inner, packet, rule);
                match inner.fate {
                    Fate::Accepted | Fate::Dropped | Fate::Translated if sure => {
                        return Ok(Judgement { certain: certain && inner.certain, ..inner });
                    }
                    Fate::Accepted | Fate::Translated => certain = false,
                    Fate::Dropped | Fate::Undecided => certain &= inner.certain,
                }
            }
            (End::Goto(to), true) => {
                let inner = of_some_pod(walk(packet, mark, &to, rules, depth - 1)?, packet, rule);
                return Ok(Judgement { certain: certain && inner.certain, ..inner });
            }
            (End::Goto(_), false) => certain = false,
        }
    }
    undecided(certain)
}

/// What a chain decides to which `rule` jumps. Where the jump is for links of pods, and no such link is known, a drop is not
/// certain: programs add a rule there for each pod that comes, and drop only what they do not know (Calico).
fn of_some_pod(inner: Judgement, packet: &Packet, rule: &ForeignRule) -> Judgement {
    let is_of_some_pod = rule.steps.iter().any(|step| match step {
        Step::Load { what: Field::IncomingLinkName, .. } => packet.incoming == HOST_LINK_PREFIX,
        Step::Load { what: Field::OutgoingLinkName, .. } => packet.outgoing == HOST_LINK_PREFIX,
        _ => false,
    });
    Judgement { certain: inner.certain && !(is_of_some_pod && inner.fate == Fate::Dropped), ..inner }
}

/// What one rule does.
enum Applied {
    /// The next one decides; false where this one may have decided.
    Goes(bool),
    /// It decides; false where it may not apply.
    Ends(End, bool),
}

fn apply(packet: &Packet, mark: &mut Option<u32>, rule: &ForeignRule) -> Applied {
    let mut registers: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut sure = true;
    for step in &rule.steps {
        match step {
            Step::Load { register, what } => match value(packet, *mark, *what) {
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
                match registers.get(register).and_then(|held| begins(held, value)) {
                    Some(equal) if equal == (*op == Cmp::Equal) => {}
                    Some(_) => return Applied::Goes(true),
                    None => sure = false,
                }
            }
            Step::Lookup { register, op, values } => match registers.get(register) {
                Some(held) if values.contains(held) == (*op == Cmp::Equal) => {}
                // A link of some pod, and a set that names links of pods.
                Some(held) if values.iter().any(|value| begins(held, value).is_none()) => sure = false,
                Some(_) => return Applied::Goes(true),
                None => sure = false,
            },
            Step::Value { register, value } => drop(registers.insert(*register, value.clone())),
            Step::SetMark { value, mask } => *mark = mark.filter(|_| sure).map(|mark| (mark & !mask) ^ value),
            Step::StoreMark { register } => {
                let stored = registers.get(register).and_then(|value| value.get(..4)?.try_into().ok());
                *mark = stored.filter(|_| sure).map(u32::from_ne_bytes);
            }
            Step::Range { register, op, from, to } => {
                match registers.get(register).and_then(|held| held.get(..from.len().min(to.len()))) {
                    Some(held) if (from.as_slice() <= held && held <= to.as_slice()) == (*op == Cmp::Equal) => {}
                    Some(_) => return Applied::Goes(true),
                    None => sure = false,
                }
            }
            Step::Within { register, op, subnets } => match registers.get(register).and_then(|held| address(held)) {
                Some(held) if subnets.iter().any(|subnet| subnet.contains(held)) == (*op == Cmp::Equal) => {}
                Some(_) => return Applied::Goes(true),
                None => sure = false,
            },
            Step::Extension { name, parameters } => match extension::matches(packet, *mark, name, parameters) {
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

/// Whether a register begins with a value; `None` where it holds less: the beginning of the name of some pod's link.
fn begins(held: &[u8], value: &[u8]) -> Option<bool> {
    match held.get(..value.len()) {
        Some(held) => Some(held == value),
        None if value.starts_with(held) => None,
        None => Some(false),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `IP_CT_NEW` as a bit of the state.
const NEW: u32 = 8;

fn value(packet: &Packet, mark: Option<u32>, what: Field) -> Option<Vec<u8>> {
    let family = Family::of(packet.source);
    let name = |name: &str| {
        if name.is_empty() {
            return None;
        }
        let mut bytes = name.as_bytes().to_vec();
        // Of some pod's link only the beginning of the name is known.
        if name != HOST_LINK_PREFIX {
            bytes.resize(16, 0);
        }
        Some(bytes)
    };
    match what {
        Field::IncomingLinkName => name(&packet.incoming),
        Field::OutgoingLinkName => name(&packet.outgoing),
        Field::AddressFamily => Some(vec![family.number()]),
        Field::EtherType => Some(match family {
            Family::V4 => vec![0x08, 0x00],
            Family::V6 => vec![0x86, 0xdd],
        }),
        Field::TransportProtocol => Some(vec![packet.transport.protocol as u8]),
        Field::IncomingLink => packet.indexes[0].map(|index| index.to_ne_bytes().to_vec()),
        Field::OutgoingLink => packet.indexes[1].map(|index| index.to_ne_bytes().to_vec()),
        // `RTN_UNICAST`: a pod's address is none of the node's own.
        Field::AddressType => Some(1u32.to_ne_bytes().to_vec()),
        Field::TransportHeader { offset: 2, length: 2 } => {
            packet.transport.port.map(|port| port.to_be_bytes().to_vec())
        }
        Field::TransportHeader { .. } => None,
        // RFC 791, RFC 8200: the protocol, or the first header behind.
        Field::NetworkHeader { offset, length: 1 } if offset == if family == Family::V4 { 9 } else { 6 } => {
            Some(vec![packet.transport.protocol as u8])
        }
        Field::Mark => mark.map(|mark| mark.to_ne_bytes().to_vec()),
        Field::ConnectionStatus => Some(vec![0; 4]),
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

#[cfg(test)]
mod tests;

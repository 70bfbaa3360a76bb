//! Rules of others, as far as they can be understood: the chains at a hook, and their rules as steps. An expression that
//! is not known here is [`Step::Unknown`]. The caller can append rules to such a chain and remove them by handle.

use netlink::wire::{Attribute, Attributes};

use super::expression::Cmp;
use super::nfnetlink::{self, Error, Message, Nfnetlink};
use super::observed::{comment, subnets};
use super::subnets::Subnets;
use super::table::{INTERVAL_END, Rule, TableFamily, new_rule};

/// A chain at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// The family of its table.
    pub family: TableFamily,
    /// The name of its table.
    pub table: String,
    /// The name of the chain.
    pub name: String,
    /// What no rule decides is dropped.
    pub drops: bool,
    /// The hook's number within the family (linux/netfilter.h).
    pub hook: u32,
    /// Its type: `filter`, `nat`, `route`.
    pub kind: String,
    /// The names of the links whose packets it sees, in the family `netdev` and at the ingress of `inet`.
    pub devices: Vec<String>,
}

/// A rule of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignRule {
    /// By which the kernel knows it within its table.
    pub handle: u64,
    /// "" where it has none.
    pub comment: String,
    /// Its expressions, in order.
    pub steps: Vec<Step>,
}

/// One expression of a rule. Registers are numbered as in linux/netfilter/nf_tables.h.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the attribute of its name")]
pub enum Step {
    /// Loads a field of the packet.
    Load { register: u32, what: Field },
    /// Register `to` becomes `from & mask ^ xor`.
    Mask { from: u32, to: u32, mask: Vec<u8>, xor: Vec<u8> },
    /// Goes on when the register's first bytes compare so.
    Compare { register: u32, op: Cmp, value: Vec<u8> },
    /// Compares with every value of a set of single values.
    Lookup { register: u32, op: Cmp, values: Vec<Vec<u8>> },
    /// Goes on when the register's first bytes lie between the two, these included.
    Range { register: u32, op: Cmp, from: Vec<u8>, to: Vec<u8> },
    /// Asks whether an address lies in one of the subnets of a set.
    Within { register: u32, op: Cmp, subnets: Subnets },
    /// An extension of iptables by name, with its parameters.
    Extension { name: String, parameters: Vec<u8> },
    /// Loads a value that the rule gives.
    Value { register: u32, value: Vec<u8> },
    /// The packet's mark becomes `mark & ~mask ^ value`.
    SetMark { value: u32, mask: u32 },
    /// The packet's mark becomes that of the register.
    StoreMark { register: u32 },
    /// Ends the rule.
    End(End),
    /// Counts or logs; the packet goes on.
    Neutral,
    /// It is not known whether the packet goes on.
    Unknown,
}

/// Something of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of its name")]
pub enum Field {
    IncomingLinkName,
    OutgoingLinkName,
    AddressFamily,
    EtherType,
    TransportProtocol,
    Mark,
    IncomingLink,
    OutgoingLink,
    /// Of which type the source, or the destination, is for this node (`RTN_…`).
    AddressType,
    NetworkHeader {
        offset: u32,
        length: u32,
    },
    TransportHeader {
        offset: u32,
        length: u32,
    },
    ConnectionState,
    ConnectionStatus,
    Unknown,
}

/// How a rule ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// `NF_ACCEPT`.
    Accept,
    /// `NF_DROP`, or a rejection.
    Drop,
    /// Gives the packet another address or port.
    Translate,
    /// `NFT_RETURN`.
    Return,
    /// `NFT_JUMP` to a chain of the same table.
    Jump(String),
    /// `NFT_GOTO` to a chain of the same table.
    Goto(String),
}

/// The chains of the IP families at a hook.
pub fn base_chains(socket: &mut Nfnetlink, hook: u32) -> Result<Vec<BaseChain>, Error> {
    let ip = |chain: &BaseChain| matches!(chain.family, TableFamily::Inet | TableFamily::Ipv4 | TableFamily::Ipv6);
    Ok(all_base_chains(socket)?.into_iter().filter(|chain| chain.hook == hook && ip(chain)).collect())
}

/// The chains at all hooks of all families.
pub fn all_base_chains(socket: &mut Nfnetlink) -> Result<Vec<BaseChain>, Error> {
    use TableFamily::{Arp, Bridge, Inet, Ipv4, Ipv6, Netdev};
    let all = socket.dump(0, nfnetlink::GET_CHAIN, &[])?;
    let read = |(family, chain): &(u8, Vec<u8>)| {
        let known = [Inet, Ipv4, Ipv6, Netdev, Bridge, Arp];
        let family = known.into_iter().find(|known| *known as u8 == *family)?;
        let chain = Attributes(chain);
        // NFTA_CHAIN_TABLE 1, _NAME 3, _HOOK 4 {NFTA_HOOK_HOOKNUM 1, _DEV 3, _DEVS 4 {NFTA_DEVICE_NAME 1}}, _POLICY 5: NF_DROP 0,
        // _TYPE 7.
        let at = chain.inside(4);
        let mut devices: Vec<String> = at.text(3).map(str::to_owned).into_iter().collect();
        devices.extend(at.inside(4).filter_map(|(_, name)| text(name)));
        devices.sort_unstable();
        devices.dedup();
        Some(BaseChain {
            family,
            table: chain.text(1)?.to_owned(),
            name: chain.text(3)?.to_owned(),
            drops: chain.be32(5) == Some(0),
            hook: at.be32(1)?,
            kind: chain.text(7).unwrap_or_default().to_owned(),
            devices,
        })
    };
    Ok(all.iter().filter_map(read).collect())
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(|text| text.trim_end_matches('\0').to_owned())
}

/// The rules of a chain, in order.
pub fn rules(socket: &mut Nfnetlink, family: TableFamily, table: &str, chain: &str) -> Result<Vec<ForeignRule>, Error> {
    let of_chain = [Attribute::text(1, table), Attribute::text(2, chain)];
    let all = socket.dump(family as u8, nfnetlink::GET_RULE, &of_chain)?;
    let ours = all.iter().map(|(_, rule)| Attributes(rule));
    // Old kernels do not filter by chain.
    let ours = ours.filter(|rule| rule.text(1) == Some(table) && rule.text(2) == Some(chain));
    let mut rules = Vec::new();
    for rule in ours {
        // NFTA_RULE_HANDLE 3, _EXPRESSIONS 4.
        let mut steps = Vec::new();
        for (_, expression) in rule.inside(4) {
            let expression = Attributes(expression);
            steps.push(match lookup(expression) {
                Some((register, op, set)) => match values(socket, family, table, set)? {
                    Some(values) => Step::Lookup { register, op, values },
                    None => subnets(socket, family, table, set)?.map_or(Step::Unknown, |subnets| Step::Within {
                        register,
                        op,
                        subnets,
                    }),
                },
                None => step(expression),
            });
        }
        let comment = comment(rule).unwrap_or_default().to_owned();
        rules.push(ForeignRule { handle: rule.be64(3).unwrap_or_default(), comment, steps });
    }
    Ok(rules)
}

/// NFTA_LOOKUP_SET 1, _SREG 2, _DREG 3 for a map, _FLAGS 5: NFT_LOOKUP_F_INV 1.
fn lookup(expression: Attributes<'_>) -> Option<(u32, Cmp, &str)> {
    let data = expression.inside(2);
    if expression.text(1) != Some("lookup") || data.find(3).is_some() {
        return None;
    }
    let inverted = data.be32(5).is_some_and(|flags| flags & 1 != 0);
    Some((data.be32(2)?, if inverted { Cmp::NotEqual } else { Cmp::Equal }, data.text(1)?))
}

/// The values of a set; `None` for a set of intervals.
fn values(socket: &mut Nfnetlink, family: TableFamily, table: &str, set: &str) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let of_set = [Attribute::text(1, table), Attribute::text(2, set)];
    let mut values = Vec::new();
    for (_, part) in socket.dump(family as u8, nfnetlink::GET_ELEMENTS, &of_set)? {
        for (_, element) in Attributes(&part).inside(3) {
            let element = Attributes(element);
            // NFTA_SET_ELEM_FLAGS 3, _KEY_END 10.
            let is_bound = element.be32(3).unwrap_or_default() & INTERVAL_END != 0 || element.find(10).is_some();
            let Some(value) = element.inside(1).find(1).filter(|_| !is_bound) else { return Ok(None) };
            values.push(value.to_vec());
        }
    }
    Ok(Some(values))
}

/// Appends `add` to a chain and removes the rules with these handles, in one transaction.
pub fn change(socket: &mut Nfnetlink, chain: &BaseChain, add: &[Rule], remove: &[u64]) -> Result<(), Error> {
    let removal = |handle: &u64| Message {
        family: chain.family as u8,
        kind: nfnetlink::DELETE_RULE,
        attributes: vec![
            Attribute::text(1, &chain.table),
            Attribute::text(2, &chain.name),
            Attribute::be64(3, *handle),
        ],
    };
    let additions = add.iter().map(|rule| new_rule(chain.family, &chain.table, &chain.name, rule));
    let messages: Vec<Message> = remove.iter().map(removal).chain(additions).collect();
    if messages.is_empty() { Ok(()) } else { socket.transaction(messages) }
}

/// NFTA_EXPR_NAME 1, NFTA_EXPR_DATA 2; the attributes of each as in `expression.rs`.
pub(super) fn step(expression: Attributes<'_>) -> Step {
    let data = expression.inside(2);
    let load = |what| data.be32(1).map_or(Step::Unknown, |register| Step::Load { register, what });
    match expression.text(1).unwrap_or_default() {
        // NFTA_META_KEY 2: NFT_META_MARK 3, _SREG 3 where the packet is changed.
        "meta" => match (data.be32(3), data.be32(2)) {
            (Some(register), Some(3)) => Step::StoreMark { register },
            (Some(_), _) => Step::Neutral,
            (None, key) => load(meta(key)),
        },
        "payload" if data.be32(2) == Some(1) => {
            let (offset, length) = (data.be32(3).unwrap_or_default(), data.be32(4).unwrap_or_default());
            load(Field::NetworkHeader { offset, length })
        }
        "payload" if data.be32(2) == Some(2) => {
            let (offset, length) = (data.be32(3).unwrap_or_default(), data.be32(4).unwrap_or_default());
            load(Field::TransportHeader { offset, length })
        }
        // NFTA_FIB_RESULT 2: NFT_FIB_RESULT_ADDRTYPE 3, of the source or of the destination.
        "fib" if data.be32(2) == Some(3) => load(Field::AddressType),
        // NFTA_CT_DREG 1, _KEY 2: NFT_CT_STATE 0, NFT_CT_STATUS 2.
        "ct" => load(match data.be32(2) {
            Some(0) => Field::ConnectionState,
            Some(2) => Field::ConnectionStatus,
            _ => Field::Unknown,
        }),
        "payload" | "fib" | "rt" | "socket" | "exthdr" => load(Field::Unknown),
        "bitwise" => mask(data).unwrap_or(Step::Unknown),
        "cmp" => compare(data).unwrap_or(Step::Unknown),
        "immediate" => end(data),
        "range" => range(data).unwrap_or(Step::Unknown),
        "counter" | "log" | "notrack" | "flow_offload" => Step::Neutral,
        "reject" => Step::End(End::Drop),
        "masq" | "nat" | "redir" => Step::End(End::Translate),
        // NFTA_TARGET_NAME 1.
        "target" => match data.text(1).unwrap_or_default() {
            "REJECT" => Step::End(End::Drop),
            "MASQUERADE" | "SNAT" | "DNAT" | "REDIRECT" | "NETMAP" => Step::End(End::Translate),
            // linux/netfilter/xt_mark.h, `xt_mark_tginfo2`, in NFTA_TARGET_INFO 3: mark, mask.
            "MARK" => mark(data.find(3).unwrap_or_default()).unwrap_or(Step::Unknown),
            "LOG" | "NFLOG" | "CONNMARK" | "TCPMSS" | "CHECKSUM" | "CT" | "TRACE" => Step::Neutral,
            _ => Step::Unknown,
        },
        // NFTA_MATCH_NAME 1, _INFO 3.
        "match" => Step::Extension {
            name: data.text(1).unwrap_or_default().to_owned(),
            parameters: data.find(3).unwrap_or_default().to_vec(),
        },
        _ => Step::Unknown,
    }
}

fn meta(key: Option<u32>) -> Field {
    match key {
        Some(1) => Field::EtherType,
        Some(3) => Field::Mark,
        Some(4) => Field::IncomingLink,
        Some(5) => Field::OutgoingLink,
        Some(6) => Field::IncomingLinkName,
        Some(7) => Field::OutgoingLinkName,
        Some(15) => Field::AddressFamily,
        Some(16) => Field::TransportProtocol,
        _ => Field::Unknown,
    }
}

/// A shift (NFTA_BITWISE_OP 6) is not known here.
fn mask(data: Attributes<'_>) -> Option<Step> {
    if data.be32(6).is_some_and(|op| op != 0) {
        return None;
    }
    let (mask, xor) = (data.inside(4).find(1)?.to_vec(), data.inside(5).find(1)?.to_vec());
    Some(Step::Mask { from: data.be32(1)?, to: data.be32(2)?, mask, xor })
}

fn mark(parameters: &[u8]) -> Option<Step> {
    let word = |at: usize| parameters.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    Some(Step::SetMark { value: word(0)?, mask: word(4)? })
}

/// NFTA_RANGE_SREG 1, _OP 2, _FROM_DATA 3, _TO_DATA 4.
fn range(data: Attributes<'_>) -> Option<Step> {
    let op = if data.be32(2)? == 0 { Cmp::Equal } else { Cmp::NotEqual };
    let (from, to) = (data.inside(3).find(1)?.to_vec(), data.inside(4).find(1)?.to_vec());
    Some(Step::Range { register: data.be32(1)?, op, from, to })
}

/// Greater and less are not known here.
fn compare(data: Attributes<'_>) -> Option<Step> {
    let op = match data.be32(2)? {
        0 => Cmp::Equal,
        1 => Cmp::NotEqual,
        _ => return None,
    };
    Some(Step::Compare { register: data.be32(1)?, op, value: data.inside(3).find(1)?.to_vec() })
}

/// NFTA_IMMEDIATE_DREG 1, _DATA 2 {NFTA_DATA_VERDICT 2 {NFTA_VERDICT_CODE 1, _CHAIN 2}}; linux/netfilter/nf_tables.h,
/// `enum nft_verdicts`.
fn end(data: Attributes<'_>) -> Step {
    let verdict = data.inside(2).inside(2);
    let chain = || verdict.text(2).unwrap_or_default().to_owned();
    match (data.be32(1), verdict.be32(1).map(u32::cast_signed)) {
        (Some(0), Some(0)) => Step::End(End::Drop),
        (Some(0), Some(1)) => Step::End(End::Accept),
        (Some(0), Some(-1)) => Step::Neutral,
        (Some(0), Some(-3)) => Step::End(End::Jump(chain())),
        (Some(0), Some(-4)) => Step::End(End::Goto(chain())),
        (Some(0), Some(-5)) => Step::End(End::Return),
        (Some(register), None) => match data.inside(2).find(1) {
            Some(value) => Step::Value { register, value: value.to_vec() },
            None => Step::Unknown,
        },
        // A queue.
        _ => Step::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Expression, Verdict};

    /// What is read of an expression that this crate writes.
    fn read(expression: &Expression) -> Step {
        // NFTA_LIST_ELEM 1.
        step(Attributes(expression.attribute().encoded()).inside(1))
    }

    #[test]
    fn what_this_crate_writes_is_read_as_what_it_says() {
        let load = |what| Step::Load { register: 1, what };
        assert_eq!(read(&Expression::IncomingLinkName), load(Field::IncomingLinkName));
        assert_eq!(read(&Expression::AddressFamily), load(Field::AddressFamily));
        assert_eq!(read(&Expression::RouteBackToLinkExists), load(Field::Unknown), "not followed");
        let (offset, length) = (16, 4);
        assert_eq!(read(&Expression::NetworkHeader { offset, length }), load(Field::NetworkHeader { offset, length }));
        let mask = vec![255, 0];
        let read_mask = Step::Mask { from: 1, to: 1, mask: mask.clone(), xor: vec![0, 0] };
        assert_eq!(read(&Expression::Mask(mask)), read_mask);
        for op in [Cmp::Equal, Cmp::NotEqual] {
            let value = vec![10, 0, 0, 9];
            assert_eq!(read(&Expression::Compare(op, value.clone())), Step::Compare { register: 1, op, value });
            let found = Expression::Lookup(op, "inside4").attribute();
            assert_eq!(lookup(Attributes(found.encoded()).inside(1)), Some((1, op, "inside4")));
        }
        assert_eq!(read(&Expression::Counter), Step::Neutral);
        assert_eq!(read(&Expression::Decide(Verdict::Accept)), Step::End(End::Accept));
        assert_eq!(read(&Expression::Decide(Verdict::Drop)), Step::End(End::Drop));
        assert_eq!(read(&Expression::Masquerade), Step::End(End::Translate));
    }
}

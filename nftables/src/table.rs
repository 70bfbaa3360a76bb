//! A table, its sets, chains and rules as values, and the messages that make and remove them
//! (linux/netfilter/nf_tables.h).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink::Family;
use netlink::wire::Attribute;

use super::expression::Expression;
use super::map::Map;
use super::nfnetlink::{self, Message};
use super::subnets::Subnets;

/// Which packets a table sees, by Netfilter's number (linux/netfilter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableFamily {
    /// `NFPROTO_INET`: IPv4 and IPv6.
    Inet = 1,
    /// `NFPROTO_IPV4`.
    Ipv4 = 2,
    /// `NFPROTO_ARP`.
    Arp = 3,
    /// `NFPROTO_NETDEV`: everything on one link.
    Netdev = 5,
    /// `NFPROTO_BRIDGE`: everything that passes through a bridge.
    Bridge = 7,
    /// `NFPROTO_IPV6`.
    Ipv6 = 10,
}

impl TableFamily {
    /// Whether the table's chains see packets of an address family.
    pub fn sees(self, family: Family) -> bool {
        match self {
            Self::Inet | Self::Netdev | Self::Bridge => true,
            Self::Ipv4 => family == Family::V4,
            Self::Ipv6 => family == Family::V6,
            Self::Arp => false,
        }
    }

    /// Its name in nft(8).
    pub fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ipv4 => "ip",
            Self::Arp => "arp",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
            Self::Ipv6 => "ip6",
        }
    }
}

/// A table with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Of the table and all that is in it.
    pub family: TableFamily,
    /// The key. An existing table of this name is changed or replaced.
    pub name: &'static str,
    /// Its sets, all of them.
    pub sets: Vec<Set>,
    /// Its maps, all of them. Their elements are changed by [`super::change_elements`], not with the table.
    pub maps: Vec<Map>,
    /// Its chains, all of them.
    pub chains: Vec<Chain>,
}

/// Subnets of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Unique in its table.
    pub name: &'static str,
    /// The family of its subnets.
    pub family: Family,
    /// Its elements.
    pub subnets: Subnets,
}

impl Set {
    /// The length of a key, an address, in bytes.
    pub(super) fn key_length(&self) -> u32 {
        u32::from(self.family.bits() / 8)
    }
}

/// A chain at a hook, with the policy accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Unique in its table.
    pub name: &'static str,
    /// Its hook.
    pub hook: Hook,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// The hook of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// `NF_INET_PRE_ROUTING` and `NF_ARP_IN` 0, `NF_INET_FORWARD` 2, `NF_INET_POST_ROUTING` 4.
    pub number: u32,
    /// Chains with a lower priority see the packet first.
    pub priority: i32,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A short text for people, which begins the comment.
    pub purpose: &'static str,
    /// Evaluated in order.
    pub expressions: Vec<Expression>,
}

impl Rule {
    /// The comment that `nft list` shows: the purpose, and a digest of the `Debug` text of the expressions.
    pub fn comment(&self) -> String {
        format!("{} [{:08x}]", self.purpose, digest(&format!("{:?}", self.expressions)))
    }
}

/// FNV-1a, which is the same with each release of the compiler.
fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// NFTA_TABLE_NAME 1.
pub(super) fn new_table(table: &Table) -> Message {
    message(table.family, nfnetlink::NEW_TABLE, vec![Attribute::text(1, table.name)])
}

pub(super) fn remove_table(family: TableFamily, name: &str) -> Message {
    message(family, nfnetlink::DELETE_TABLE, vec![Attribute::text(1, name)])
}

/// NFTA_SET_TABLE 1, _NAME 2, _FLAGS 3: NFT_SET_INTERVAL 4, _KEY_TYPE 4 (as nft(8) numbers them), _KEY_LEN 5, _ID 10.
pub(super) fn new_set(table: &Table, set: &Set, id: u32) -> Message {
    let kind = match set.family {
        Family::V4 => 7,
        Family::V6 => 8,
    };
    let attributes = vec![
        Attribute::text(1, table.name),
        Attribute::text(2, set.name),
        Attribute::be32(3, INTERVAL),
        Attribute::be32(4, kind),
        Attribute::be32(5, set.key_length()),
        Attribute::be32(10, id),
    ];
    message(table.family, nfnetlink::NEW_SET, attributes)
}

/// `NFT_SET_INTERVAL`.
pub(super) const INTERVAL: u32 = 4;

pub(super) fn remove_set(table: &Table, name: &str) -> Message {
    message(table.family, nfnetlink::DELETE_SET, vec![Attribute::text(1, table.name), Attribute::text(2, name)])
}

/// NFTA_SET_ELEM_LIST_TABLE 1, _SET 2, _ELEMENTS 3.
pub(super) fn elements(table: &Table, set: &str, adds: bool, subnets: &[IpNetwork]) -> Message {
    let elements: Vec<Attribute> = subnets.iter().flat_map(|subnet| interval(*subnet)).collect();
    let kind = if adds { nfnetlink::NEW_ELEMENTS } else { nfnetlink::DELETE_ELEMENTS };
    let attributes = vec![Attribute::text(1, table.name), Attribute::text(2, set), Attribute::nested(3, &elements)];
    message(table.family, kind, attributes)
}

/// A subnet is two elements: its first address, and the first one behind it unless there is none.
fn interval(subnet: IpNetwork) -> impl Iterator<Item = Attribute> {
    // NFTA_LIST_ELEM 1 {NFTA_SET_ELEM_KEY 1 {NFTA_DATA_VALUE 1}, _FLAGS 3: NFT_SET_ELEM_INTERVAL_END 1}.
    let element = |address: IpAddr, flags: Option<u32>| {
        let mut inside = vec![Attribute::nested(1, &[Attribute::bytes(1, &octets(address))])];
        inside.extend(flags.map(|flags| Attribute::be32(3, flags)));
        Attribute::nested(1, &inside)
    };
    let end = behind(subnet).map(|address| element(address, Some(INTERVAL_END)));
    [element(subnet.network(), None)].into_iter().chain(end)
}

/// `NFT_SET_ELEM_INTERVAL_END`.
pub(super) const INTERVAL_END: u32 = 1;

/// The first address behind a subnet.
pub(super) fn behind(subnet: IpNetwork) -> Option<IpAddr> {
    match subnet.broadcast() {
        IpAddr::V4(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// An address in network byte order, as headers have it.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// NFTA_CHAIN_TABLE 1, _NAME 3, _HOOK 4 {NFTA_HOOK_HOOKNUM 1, _PRIORITY 2}, _POLICY 5: NF_ACCEPT 1, _TYPE 7.
pub(super) fn new_chain(table: &Table, chain: &Chain) -> Message {
    let hook = [Attribute::be32(1, chain.hook.number), Attribute::be32(2, chain.hook.priority.cast_unsigned())];
    let attributes = vec![
        Attribute::text(1, table.name),
        Attribute::text(3, chain.name),
        Attribute::nested(4, &hook),
        Attribute::be32(5, 1),
        Attribute::text(7, chain.hook.kind),
    ];
    message(table.family, nfnetlink::NEW_CHAIN, attributes)
}

pub(super) fn remove_chain(table: &Table, name: &str) -> Message {
    message(table.family, nfnetlink::DELETE_CHAIN, vec![Attribute::text(1, table.name), Attribute::text(3, name)])
}

/// Removes all rules of a chain.
pub(super) fn empty_chain(table: &Table, name: &str) -> Message {
    message(table.family, nfnetlink::DELETE_RULE, vec![Attribute::text(1, table.name), Attribute::text(2, name)])
}

/// Appends a rule to a chain.
pub(super) fn new_rule(family: TableFamily, table: &str, chain: &str, rule: &Rule) -> Message {
    // NFTA_RULE_TABLE 1, _CHAIN 2, _EXPRESSIONS 4, _USERDATA 7: libnftnl's attributes of one byte each for kind and
    // length, NFTNL_UDATA_RULE_COMMENT 0.
    let expressions: Vec<Attribute> = rule.expressions.iter().map(Expression::attribute).collect();
    let comment = rule.comment();
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    let attributes = vec![
        Attribute::text(1, table),
        Attribute::text(2, chain),
        Attribute::nested(4, &expressions),
        Attribute::bytes(7, &[&[0, length], comment.as_bytes(), &[0]].concat()),
    ];
    message(family, nfnetlink::NEW_RULE, attributes)
}

pub(super) fn message(family: TableFamily, kind: u16, attributes: Vec<Attribute>) -> Message {
    Message { family: family as u8, kind, attributes }
}

//! A policy rule of anybody (ip-rule(8)), and which packets it selects.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::Family;
use crate::request::Request;
use crate::route::Looked;

/// What a rule does with the packets that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAct {
    /// Looks them up in this table.
    Table(u32),
    /// Ends the search: `unreachable`, `blackhole`, `prohibit`.
    Nowhere(&'static str),
    /// Anything else: `goto`, `nop`.
    Other,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// The address family.
    pub family: Family,
    /// Its place in the list.
    pub priority: u32,
    /// What it does.
    pub act: RuleAct,
    /// The number of the program that made it (`RTPROT_…`).
    pub protocol: u8,
    /// The sources that it selects; `None`: all.
    pub from: Option<IpNetwork>,
    /// The destinations that it selects; `None`: all.
    pub to: Option<IpNetwork>,
    /// The name of the link that its packets came in by; `lo`: packets of this host.
    pub incoming: Option<String>,
    /// It selects what the rest does not.
    pub inverted: bool,
    /// It selects by something else too: a mark, a link that packets leave by, a port, a user.
    pub by_more: bool,
    /// As ip-rule(8) prints it.
    text: String,
}

impl PolicyRule {
    /// All rules of one family.
    pub fn dump(family: Family) -> Request {
        let mut message = RuleMessage::default();
        message.header.family = family.in_header();
        Request::dump(RouteNetlinkMessage::GetRule(message))
    }

    /// Reads a rule that the kernel gave; `None` for another message.
    pub fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRule(message) = message else { return None };
        let (header, family) = (&message.header, family(message)?);
        let mut rule = Self {
            family,
            priority: 0,
            act: RuleAct::Other,
            protocol: 0,
            from: None,
            to: None,
            incoming: None,
            inverted: header.flags.contains(RuleFlags::Invert),
            by_more: header.tos != 0,
            text: String::new(),
        };
        let mut table = u32::from(header.table);
        let mut more = String::new();
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(ip) => rule.from = IpNetwork::new(*ip, header.src_len).ok(),
                RuleAttribute::Destination(ip) => rule.to = IpNetwork::new(*ip, header.dst_len).ok(),
                RuleAttribute::Table(number) => table = *number,
                RuleAttribute::Priority(number) => rule.priority = *number,
                RuleAttribute::Protocol(number) => rule.protocol = u8::from(*number),
                RuleAttribute::Iifname(name) => rule.incoming = Some(name.clone()),
                RuleAttribute::Oifname(name) => more += &format!(" oif {name}"),
                RuleAttribute::FwMark(mark) => more += &format!(" fwmark {mark:#x}"),
                RuleAttribute::UidRange(_) => more += " uidrange …",
                RuleAttribute::IpProtocol(_) => more += " ipproto …",
                RuleAttribute::SourcePortRange(_) => more += " sport …",
                RuleAttribute::DestinationPortRange(_) => more += " dport …",
                RuleAttribute::TunId(id) => more += &format!(" tun_id {id}"),
                RuleAttribute::L3MDev(true) => more += " l3mdev",
                _ => {}
            }
        }
        rule.act = match header.action {
            RuleAction::ToTable => RuleAct::Table(table),
            RuleAction::Unreachable => RuleAct::Nowhere("unreachable"),
            RuleAction::Blackhole => RuleAct::Nowhere("blackhole"),
            RuleAction::Prohibit => RuleAct::Nowhere("prohibit"),
            _ => RuleAct::Other,
        };
        rule.by_more |= !more.is_empty();
        rule.text = rule.words(&more);
        Some(rule)
    }

    /// A rule by addresses, as a test writes it down.
    pub fn by_addresses(
        family: Family,
        priority: u32,
        act: RuleAct,
        from: Option<IpNetwork>,
        to: Option<IpNetwork>,
    ) -> Self {
        let rule = Self {
            family,
            priority,
            act,
            protocol: 0,
            from,
            to,
            incoming: None,
            inverted: false,
            by_more: false,
            text: String::new(),
        };
        Self { text: rule.words(""), ..rule }
    }

    fn words(&self, more: &str) -> String {
        let mut text = format!("{}:", self.priority);
        if self.inverted {
            text += " not";
        }
        text += &self.from.map_or_else(|| " from all".to_owned(), |from| format!(" from {}", plain(from)));
        if let Some(to) = self.to {
            text += &format!(" to {}", plain(to));
        }
        if let Some(incoming) = &self.incoming {
            text += &format!(" iif {incoming}");
        }
        text += more;
        match self.act {
            RuleAct::Table(table) => text += &format!(" lookup {}", table_name(table)),
            RuleAct::Nowhere(word) => text += &format!(" {word}"),
            RuleAct::Other => text += " (another action)",
        }
        text
    }

    /// Whether it selects the packet, which came in by the link of this name; `None` where it depends on what is not known
    /// of the packet.
    pub fn selects(&self, packet: &Looked, incoming: Option<&str>) -> Option<bool> {
        let holds = |subnet: Option<IpNetwork>, address: Option<IpAddr>| match (subnet, address) {
            (None, _) => Some(true),
            (Some(subnet), Some(address)) => Some(subnet.contains(address)),
            (Some(subnet), None) => (subnet.prefix() == 0).then_some(true),
        };
        if !self.family.holds(packet.destination) {
            return Some(false);
        }
        let by_link = self.incoming.as_deref().is_none_or(|name| name == incoming.unwrap_or("lo"));
        let parts = [
            holds(self.from, packet.source),
            holds(self.to, Some(packet.destination)),
            Some(by_link),
            if self.by_more { None } else { Some(true) },
        ];
        let selected = if parts.contains(&Some(false)) {
            Some(false)
        } else if parts.contains(&None) {
            None
        } else {
            Some(true)
        };
        selected.map(|selected| selected != self.inverted)
    }
}

/// As ip-rule(8) prints it.
impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn family(message: &RuleMessage) -> Option<Family> {
    match message.header.family {
        AddressFamily::Inet => Some(Family::V4),
        AddressFamily::Inet6 => Some(Family::V6),
        _ => None,
    }
}

/// An address without its length where it is a whole one.
fn plain(subnet: IpNetwork) -> String {
    let whole = subnet.prefix() == if subnet.is_ipv4() { 32 } else { 128 };
    if whole { subnet.ip().to_string() } else { subnet.to_string() }
}

/// The name of a table that has one in each kernel, otherwise its number.
fn table_name(table: u32) -> String {
    match table {
        253 => "default".to_owned(),
        254 => "main".to_owned(),
        255 => "local".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_selects_by_addresses_and_link_and_does_not_guess_the_rest() {
        let packet = |source: &str, incoming| Looked {
            destination: "10.244.1.2".parse().unwrap(),
            source: source.parse().ok(),
            incoming,
        };
        let rule = |from: &str| {
            let table = RuleAct::Table(100);
            PolicyRule::by_addresses(Family::V4, 50, table, from.parse().ok(), None)
        };
        assert_eq!(rule("172.31.0.1/32").selects(&packet("172.31.0.1", None), None), Some(true));
        assert_eq!(rule("172.31.0.1/32").selects(&packet("172.31.0.2", None), None), Some(false));
        assert_eq!(rule("172.31.0.1/32").selects(&packet("", None), None), None, "its source is not known");
        assert_eq!(rule("").selects(&packet("172.31.0.2", Some(3)), Some("podlweb")), Some(true));
        let on = |name: &str| PolicyRule { incoming: Some(name.into()), ..rule("") };
        assert_eq!(on("eth0").selects(&packet("172.31.0.2", Some(3)), Some("podlweb")), Some(false));
        assert_eq!(on("lo").selects(&packet("172.31.0.2", None), None), Some(true), "a packet of this host");
        let marked = PolicyRule { by_more: true, ..rule("172.31.0.1/32") };
        assert_eq!(marked.selects(&packet("172.31.0.1", None), None), None);
        assert_eq!(marked.selects(&packet("172.31.0.2", None), None), Some(false));
        assert_eq!(rule("172.31.0.1/32").to_string(), "50: from 172.31.0.1 lookup 100");
        assert_eq!(rule("").to_string(), "50: from all lookup 100");
    }
}

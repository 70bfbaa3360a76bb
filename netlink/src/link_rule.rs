//! Policy rules by the link that a packet came in by: which table decides on what arrives there, or on what this host sends.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::Family;
use crate::request::Request;

/// `from ADDRESS iif LINK lookup TABLE`; the link `lo` stands for what this host sends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkRule {
    /// The family of the packets.
    pub family: Family,
    /// The source address; `None` for any.
    pub from: Option<IpAddr>,
    /// The name of the link that packets come in by.
    pub incoming: String,
    /// The type of service (IPv4), or traffic class (IPv6), of the packets; 0 for any.
    pub tos: u8,
    /// The table that is looked up.
    pub table: u32,
    /// The rule's place in the list.
    pub priority: u32,
    /// Who made it (`FRA_PROTOCOL`).
    pub protocol: u8,
}

impl LinkRule {
    /// Adds it; `EEXIST` when the list holds it.
    pub fn add(&self) -> Request {
        Request::create(RouteNetlinkMessage::NewRule(self.message()))
    }

    /// Removes it; `ENOENT` when the list does not hold it.
    pub fn remove(&self) -> Request {
        Request::change(RouteNetlinkMessage::DelRule(self.message()))
    }

    /// All rules of one family.
    pub fn dump(family: Family) -> Request {
        let mut message = RuleMessage::default();
        message.header.family = family.in_header();
        Request::dump(RouteNetlinkMessage::GetRule(message))
    }

    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = self.family.in_header();
        message.header.action = RuleAction::ToTable;
        message.header.tos = self.tos;
        message.attributes = vec![
            RuleAttribute::Iifname(self.incoming.clone()),
            RuleAttribute::Table(self.table),
            RuleAttribute::Priority(self.priority),
            RuleAttribute::Protocol(RouteProtocol::from(self.protocol)),
        ];
        if let Some(from) = self.from {
            message.header.src_len = self.family.bits();
            message.attributes.push(RuleAttribute::Source(from));
        }
        message
    }

    /// Reads a rule that the kernel gave; `None` unless it names a link that packets come in by.
    pub fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRule(message) = message else { return None };
        let family = Family::BOTH.into_iter().find(|family| family.in_header() == message.header.family)?;
        let (mut from, mut incoming, mut table) = (None, None, u32::from(message.header.table));
        let (mut priority, mut protocol) = (0, 0);
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(ip) => from = Some(*ip),
                RuleAttribute::Iifname(name) => incoming = Some(name.clone()),
                RuleAttribute::Table(number) => table = *number,
                RuleAttribute::Priority(number) => priority = *number,
                RuleAttribute::Protocol(number) => protocol = u8::from(*number),
                _ => {}
            }
        }
        Some(Self { family, from, incoming: incoming?, tos: message.header.tos, table, priority, protocol })
    }
}

//! Policy rules: those by source address that podlan makes (a second attachment's replies leave by its own table), and all
//! others as they are read.

mod policy;

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::Family;
use crate::request::Request;

pub use policy::{PolicyRule, RuleAct};

/// `from ADDRESS lookup TABLE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceRule {
    /// The source address.
    pub from: IpAddr,
    /// The table that is looked up.
    pub table: u32,
    /// The rule's place in the list: before main, which has 32766.
    pub priority: u32,
    /// Who made it (`FRA_PROTOCOL`).
    pub protocol: u8,
}

impl SourceRule {
    /// Adds it; `EEXIST` when the list holds it.
    pub fn add(&self) -> Request {
        Request::create(RouteNetlinkMessage::NewRule(self.message()))
    }

    /// Removes it, table 0 standing for any; `ENOENT` when the list does not hold it.
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
        let family = Family::of(self.from);
        message.header.family = family.in_header();
        message.header.src_len = family.bits();
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Source(self.from),
            RuleAttribute::Priority(self.priority),
            RuleAttribute::Protocol(RouteProtocol::from(self.protocol)),
        ];
        if self.table != 0 {
            message.attributes.push(RuleAttribute::Table(self.table));
        }
        message
    }

    /// Reads a rule that the kernel gave; `None` unless it is one by a single source address to a table.
    pub fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewRule(message) = message else { return None };
        let (mut from, mut table, mut priority, mut protocol) = (None, u32::from(message.header.table), 0, 0);
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(ip) => from = Some(*ip),
                RuleAttribute::Table(number) => table = *number,
                RuleAttribute::Priority(number) => priority = *number,
                RuleAttribute::Protocol(number) => protocol = u8::from(*number),
                _ => {}
            }
        }
        let from = from?;
        (message.header.src_len == Family::of(from).bits()).then_some(Self { from, table, priority, protocol })
    }
}

//! Policy rules by source address: a second attachment's replies leave by its own table.

use std::net::IpAddr;

use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::request::{Request, family};

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
    pub fn dump(v6: bool) -> Request {
        let mut message = RuleMessage::default();
        message.header.family = family(v6);
        Request::dump(RouteNetlinkMessage::GetRule(message))
    }

    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        (message.header.family, message.header.src_len) = match self.from {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
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
        let whole = if from?.is_ipv4() { 32 } else { 128 };
        (message.header.src_len == whole).then_some(Self { from: from?, table, priority, protocol })
    }
}

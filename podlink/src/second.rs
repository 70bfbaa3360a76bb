//! What sets a second attachment of a pod apart from the first: a table of its own and the rules that lead there.

use std::net::IpAddr;

use netlink::{POD_ROUTE, SourceRule};

/// A second attachment's table is this plus its link's index in the pod.
const TABLES: u32 = 11_200;

/// Where second attachments' rules stand among the pod's rules: before main (32766).
const RULE_PRIORITY: u32 = 11_200;

/// In a rule's removal: whichever table it names.
pub const ANY_TABLE: u32 = 0;

/// The table of a second attachment whose link has this index in the pod.
#[must_use]
pub fn second_table(device: u32) -> u32 {
    TABLES + device
}

/// The rule that sends what a second attachment's address says to its own table.
#[must_use]
pub fn source_rule(from: IpAddr, table: u32) -> SourceRule {
    SourceRule { from, table, priority: RULE_PRIORITY, protocol: POD_ROUTE }
}

//! The rule that a pod sends with its own addresses only: the first line of defence on every pod link, both families.
//!
//! A packet from a pod link whose source is not routed back to that very link is dropped before anything else sees it
//! (`fib saddr . iif oif missing`, at prerouting raw).

use netlink::HOST_LINK_PREFIX;

use super::keep::TABLE;
use crate::nft::{Chain, Cmp, Expression, Family, Hook, Rule, Table, Verdict};

pub(super) fn table() -> Table {
    let rule = Rule {
        says: "podlan: pods send with their own addresses only",
        expressions: vec![
            Expression::IncomingLinkName,
            Expression::Compare(Cmp::Equal, HOST_LINK_PREFIX.as_bytes().to_vec()),
            Expression::RouteBackToLinkExists,
            Expression::Compare(Cmp::Equal, vec![0; 4]),
            Expression::Counter,
            Expression::Decide(Verdict::Drop),
        ],
    };
    let hook = Hook { kind: "filter", number: 0, priority: -300 };
    Table {
        family: Family::Inet,
        name: TABLE,
        sets: Vec::new(),
        chains: vec![Chain { name: "source", hook, rules: vec![rule] }],
    }
}

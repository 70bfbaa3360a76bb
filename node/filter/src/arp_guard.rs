//! The rule that prevents the node from answering ARP requests for the pods' gateway 169.254.1.1 on its other links:
//! every node has that address, and a host of the LAN may have it too. The links' sysctls are not changed.

use std::net::Ipv4Addr;

use netlink::HOST_LINK_PREFIX;
use nftables::{Chain, Cmp, Expression, Hook, Rule, Table, TableFamily, Verdict};

use super::keep::TABLE;

/// The pods' gateway on every pod link.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// RFC 826: the target protocol address (ar$tpa) is at offset 24.
const TARGET: Expression = Expression::NetworkHeader { offset: 24, length: 4 };

pub(super) fn table() -> Table {
    let rule = Rule {
        purpose: "podlan: the pods' gateway answers pods only",
        expressions: vec![
            Expression::IncomingLinkName,
            Expression::Compare(Cmp::NotEqual, HOST_LINK_PREFIX.as_bytes().to_vec()),
            TARGET,
            Expression::Compare(Cmp::Equal, GATEWAY.octets().to_vec()),
            Expression::Decide(Verdict::Drop),
        ],
    };
    let hook = Hook { kind: "filter", number: 0, priority: 0 };
    Table {
        family: TableFamily::Arp,
        name: TABLE,
        sets: Vec::new(),
        maps: Vec::new(),
        chains: vec![Chain { name: "gateway", hook, rules: vec![rule] }],
    }
}

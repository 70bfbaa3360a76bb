//! The rules that a pod sends only with its own addresses, the first line of defence on every pod link in both
//! families, and that it sends nothing to the node's loopback.
//!
//! A packet from a pod link whose source address is not routed back to that link is dropped before any other rule (`fib
//! saddr . iif oif missing`, at prerouting raw). So is one to 127.0.0.0/8: portmap, chained for a hostPort on
//! localhost, permits those on the pod's link (`route_localnet`), and kube-proxy on every link.

use netlink::{Family, HOST_LINK_PREFIX};
use nftables::{Chain, Cmp, Error, Expression, Hook, Nfnetlink, Rule, Table, TableFamily, Verdict, counted};

use super::keep::TABLE;

/// The first byte of 127.0.0.0/8.
const LOOPBACK: u8 = 127;

const CHAIN: &str = "source";
const OWN_ADDRESSES: &str = "podlan: pods send with their own addresses only";
const LOOPBACK_IS_THE_NODES: &str = "podlan: the node's loopback is not for pods";

/// The number of packets that the rules have dropped since they were created, in both families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// With an address that is not the pod's.
    pub forged: u64,
    /// For the node's loopback.
    pub loopback: u64,
}

/// Reads the rules' counters.
pub(super) fn drops(socket: &mut Nfnetlink) -> Result<Drops, Error> {
    let mut drops = Drops::default();
    for (comment, packets) in counted(socket, TableFamily::Inet, TABLE, CHAIN)? {
        if comment.starts_with(OWN_ADDRESSES) {
            drops.forged += packets;
        } else if comment.starts_with(LOOPBACK_IS_THE_NODES) {
            drops.loopback += packets;
        }
    }
    Ok(drops)
}

pub(super) fn table() -> Table {
    let from_a_pod = |purpose, condition: Vec<Expression>| {
        let mut expressions =
            vec![Expression::IncomingLinkName, Expression::Compare(Cmp::Equal, HOST_LINK_PREFIX.as_bytes().to_vec())];
        expressions.extend(condition);
        expressions.extend([Expression::Counter, Expression::Decide(Verdict::Drop)]);
        Rule { purpose, expressions }
    };
    let own_addresses =
        from_a_pod(OWN_ADDRESSES, vec![Expression::RouteBackToLinkExists, Expression::Compare(Cmp::Equal, vec![0; 4])]);
    let loopback = from_a_pod(
        LOOPBACK_IS_THE_NODES,
        vec![
            Expression::AddressFamily,
            Expression::Compare(Cmp::Equal, vec![Family::V4.number()]),
            // RFC 791: the destination is at offset 16.
            Expression::NetworkHeader { offset: 16, length: 1 },
            Expression::Compare(Cmp::Equal, vec![LOOPBACK]),
        ],
    );
    let hook = Hook { kind: "filter", number: 0, priority: -300 };
    Table {
        family: TableFamily::Inet,
        name: TABLE,
        sets: Vec::new(),
        maps: Vec::new(),
        chains: vec![Chain { name: CHAIN, hook, rules: vec![own_addresses, loopback] }],
    }
}

//! The rule that a pod sends with its own addresses only: the first line of defence on every pod link, both families.
//!
//! A packet from a pod link whose source is not routed back to that very link is dropped before anything else sees it
//! (`fib saddr . iif oif missing`, at prerouting raw). A second, small rule keeps the node from answering ARP for the
//! pods' gateway 169.254.1.1 on its other links. Two tables of our own hold them, put in place in one transaction: there
//! is no instant without them. Tables of others are never read or touched.

mod expression;
mod keep;
mod nfnetlink;

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use expression::{Cmp, Expression};
use netlink::HOST_LINK_PREFIX;
use nfnetlink::{Attribute, Message, Nfnetlink};

pub(crate) use keep::{Standing, keep};
pub(crate) use nfnetlink::Error;

/// The name of both tables.
const TABLE: &str = "podlan";

/// The pods' gateway on every pod link.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Netfilter's families (linux/netfilter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Inet = 1,
    Arp = 3,
}

/// One chain with one rule.
struct Chain {
    family: Family,
    name: &'static str,
    /// `NF_INET_PRE_ROUTING`, `NF_ARP_IN`: both 0.
    hook: u32,
    priority: i32,
    rule: Vec<Expression>,
}

/// What is put in place.
fn chains() -> [Chain; 2] {
    let prefix = HOST_LINK_PREFIX.as_bytes();
    [
        Chain {
            family: Family::Inet,
            name: "source",
            hook: 0,
            priority: -300,
            rule: vec![
                Expression::IncomingLinkName,
                Expression::Compare(Cmp::Equal, prefix.to_vec()),
                Expression::RouteBackToLinkExists,
                Expression::Compare(Cmp::Equal, vec![0; 4]),
                Expression::Counter,
                Expression::Drop,
            ],
        },
        Chain {
            family: Family::Arp,
            name: "gateway",
            hook: 0,
            priority: 0,
            rule: vec![
                Expression::IncomingLinkName,
                Expression::Compare(Cmp::NotEqual, prefix.to_vec()),
                Expression::ArpTarget,
                Expression::Compare(Cmp::Equal, GATEWAY.octets().to_vec()),
                Expression::Drop,
            ],
        },
    ]
}

/// The rule and the ear for those who remove it.
pub(crate) struct SourceRule {
    requests: Nfnetlink,
    events: Nfnetlink,
}

impl SourceRule {
    /// Opens the sockets in this network namespace; changes no rule yet.
    pub(crate) fn open() -> Result<Self, Error> {
        Ok(Self { requests: Nfnetlink::requests()?, events: Nfnetlink::events()? })
    }

    /// Puts the rules in place, whatever stood there under our name. One that the kernel cannot have does not stop the
    /// other; the first error is told.
    pub(crate) fn put(&mut self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for chain in chains() {
            // Emptied and made anew inside one transaction: what somebody added to our table goes.
            let batch = vec![
                table(chain.family, nfnetlink::NEW_TABLE),
                table(chain.family, nfnetlink::DELETE_TABLE),
                table(chain.family, nfnetlink::NEW_TABLE),
                new_chain(&chain),
                new_rule(&chain),
            ];
            outcome = outcome.and(self.requests.transaction(batch));
        }
        outcome
    }

    /// Removes the rules; false when there were none.
    pub(crate) fn remove(&mut self) -> Result<bool, Error> {
        let mut removed = false;
        for chain in chains() {
            match self.requests.transaction(vec![table(chain.family, nfnetlink::DELETE_TABLE)]) {
                Ok(()) => removed = true,
                Err(Error::Refused { errno: nix::errno::Errno::ENOENT, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Reads the events that wait; true when somebody else changed our tables, or events were lost.
    pub(crate) fn disturbed(&mut self) -> Result<bool, Error> {
        let ours = self.requests.port();
        self.events.news(|event| event.port != ours && event.table == Some(TABLE))
    }
}

impl AsFd for SourceRule {
    /// Readable when there are events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// linux/netfilter/nf_tables.h: NFTA_TABLE_NAME.
fn table(family: Family, kind: u16) -> Message {
    Message { family: family as u8, kind, attributes: vec![Attribute::text(1, TABLE)] }
}

/// NFTA_CHAIN_TABLE 1, _NAME 3, _HOOK 4 {NFTA_HOOK_HOOKNUM 1, _PRIORITY 2}, _POLICY 5, _TYPE 7.
fn new_chain(chain: &Chain) -> Message {
    let hook = [Attribute::number(1, chain.hook), Attribute::number(2, chain.priority.cast_unsigned())];
    let attributes = vec![
        Attribute::text(1, TABLE),
        Attribute::text(3, chain.name),
        Attribute::nested(4, &hook),
        Attribute::number(5, 1),
        Attribute::text(7, "filter"),
    ];
    Message { family: chain.family as u8, kind: nfnetlink::NEW_CHAIN, attributes }
}

/// NFTA_RULE_TABLE 1, _CHAIN 2, _EXPRESSIONS 4.
fn new_rule(chain: &Chain) -> Message {
    let expressions: Vec<Attribute> = chain.rule.iter().map(Expression::attribute).collect();
    let attributes =
        vec![Attribute::text(1, TABLE), Attribute::text(2, chain.name), Attribute::nested(4, &expressions)];
    Message { family: chain.family as u8, kind: nfnetlink::NEW_RULE, attributes }
}

//! The checks: each is one small file with one judgement of the facts. None looks at anything itself.

mod agent;
pub(crate) mod attachments;
mod conflist;
mod foreign_routes;
mod forward_policy;
mod forwarding;
mod ipv6;
pub mod kernel;
mod leases;
mod mtu;
mod neighbours;
mod next_hops;
mod nodes;
pub mod paths;
mod plugins;

mod policy_rules;
mod pool_room;
mod pools;
mod reverse_path;
mod router_advertisement;
mod routes;
mod source_address;
mod source_rule;
mod space;
mod store_clock;
mod translation;

use super::finding::Outcome;
use facts::Facts;

/// A check's name and its judgement.
pub(crate) type Check = (&'static str, fn(&Facts) -> Outcome);

/// All checks, in the order of a packet's path, then of the configuration.
pub const ALL: [Check; 26] = [
    ("agent", agent::judge),
    ("kernel", kernel::judge),
    ("nodes", nodes::judge),
    ("routes", routes::judge),
    ("foreign-routes", foreign_routes::judge),
    ("policy-rules", policy_rules::judge),
    ("next-hops", next_hops::judge),
    ("forwarding", forwarding::judge),
    ("router-advertisement", router_advertisement::judge),
    ("ipv6", ipv6::judge),
    ("rp-filter", reverse_path::judge),
    ("source-rule", source_rule::judge),
    ("forward-policy", forward_policy::judge),
    ("translation", translation::judge),
    ("mtu", mtu::judge),
    ("paths", paths::judge),
    ("neighbours", neighbours::judge),
    ("source-address", source_address::judge),
    ("pods", attachments::judge),
    ("conflist", conflist::judge),
    ("pools", pools::judge),
    ("pool-room", pool_room::judge),
    ("plugins", plugins::judge),
    ("leases", leases::judge),
    ("store", store_clock::judge),
    ("space", space::judge),
];

/// Judges the facts by every check.
pub fn judge(facts: &Facts) -> Vec<(&'static str, Outcome)> {
    ALL.iter().map(|(name, check)| (*name, check(facts))).collect()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::{forwards_no_v4, healthy};

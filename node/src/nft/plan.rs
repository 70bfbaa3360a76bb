//! From what the kernel holds to what should be: transactions of messages. Pure.
//!
//! Elements come before the rules that look them up and go after them, so that a rule never judges by a set that is not
//! whole. What is too much for one message is parted; a subnet and those that it replaces stay together, for the kernel
//! takes no overlap.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;

use super::nfnetlink::Message;
use super::observed::{Observed, ObservedChain, ObservedSet};
use super::table::{self, Chain, INTERVAL, Set, Table};

/// So many subnets at most go into one message: a netlink attribute holds 64 KiB, and an IPv6 subnet takes 72 bytes.
const PART: usize = 400;

/// So many messages with elements at most go into one transaction, which is one datagram of bounded size.
const PARTS: usize = 2;

/// The transactions, in order; none where all is as it should be.
pub(super) fn plan(table: &Table, observed: Option<&Observed>) -> Vec<Vec<Message>> {
    let rebuild = observed.is_some_and(|observed| !fits(table, observed));
    let nothing = Observed::default();
    let held = observed.filter(|_| !rebuild).unwrap_or(&nothing);

    let mut first = Vec::new();
    if rebuild {
        first.push(table::remove_table(table.family, table.name));
    }
    if rebuild || observed.is_none() {
        first.push(table::new_table(table));
    }
    let mut parts = Vec::new();
    for (set, id) in table.sets.iter().zip(1..) {
        let known = held.sets.get(set.name);
        if known.is_none() {
            first.push(table::new_set(table, set, id));
        }
        let none = BTreeSet::new();
        let known = known.and_then(|known| known.subnets.as_ref()).unwrap_or(&none);
        parts.extend(differences(known, &set.subnets).into_iter().map(|part| messages(table, set, &part)));
    }
    let last = rules(table, held);

    let mut transactions: Vec<Vec<Message>> = vec![first];
    let mut room = PARTS;
    for part in parts {
        if room == 0 {
            transactions.push(Vec::new());
            room = PARTS;
        }
        room -= 1;
        if let Some(transaction) = transactions.last_mut() {
            transaction.extend(part);
        }
    }
    if let Some(transaction) = transactions.last_mut() {
        transaction.extend(last);
    }
    transactions.retain(|transaction| !transaction.is_empty());
    transactions
}

/// Whether the sets and chains of our names are of our shape; a kernel changes no shape.
fn fits(table: &Table, observed: &Observed) -> bool {
    let set =
        |set: &Set, held: &ObservedSet| held.shape == (INTERVAL, if set.v6 { 16 } else { 4 }) && held.subnets.is_some();
    let chain = |chain: &Chain, held: &ObservedChain| {
        let hook = &chain.hook;
        (held.kind.as_str(), held.number, held.priority, held.policy) == (hook.kind, hook.number, hook.priority, 1)
    };
    table.sets.iter().all(|ours| observed.sets.get(ours.name).is_none_or(|held| set(ours, held)))
        && table.chains.iter().all(|ours| observed.chains.get(ours.name).is_none_or(|held| chain(ours, held)))
}

/// What makes the rules right, and removes what is nobody's.
fn rules(table: &Table, held: &Observed) -> Vec<Message> {
    let mut messages = Vec::new();
    for chain in &table.chains {
        let comments: Vec<String> = chain.rules.iter().map(super::table::Rule::comment).collect();
        match held.chains.get(chain.name) {
            Some(held) if held.rules == comments => continue,
            Some(_) => messages.push(table::empty_chain(table, chain.name)),
            None => messages.push(table::new_chain(table, chain)),
        }
        messages.extend(chain.rules.iter().map(|rule| table::new_rule(table.family, table.name, chain.name, rule)));
    }
    let extra = held.chains.keys().filter(|name| table.chains.iter().all(|chain| chain.name != **name));
    // Rules first: a chain to which one jumps cannot go.
    let extra: Vec<&String> = extra.collect();
    messages.extend(extra.iter().map(|name| table::empty_chain(table, name)));
    messages.extend(extra.iter().map(|name| table::remove_chain(table, name)));
    let extra = held.sets.keys().filter(|name| table.sets.iter().all(|set| set.name != **name));
    messages.extend(extra.map(|name| table::remove_set(table, name)));
    messages
}

/// A part of a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    remove: Vec<IpNetwork>,
    add: Vec<IpNetwork>,
}

fn messages(table: &Table, set: &Set, part: &Part) -> Vec<Message> {
    let mut messages = Vec::new();
    if !part.remove.is_empty() {
        messages.push(table::elements(table, set.name, false, &part.remove));
    }
    if !part.add.is_empty() {
        messages.push(table::elements(table, set.name, true, &part.add));
    }
    messages
}

/// What turns one set of subnets into another, in parts of bounded size. In neither do two overlap.
fn differences(held: &BTreeSet<IpNetwork>, wanted: &BTreeSet<IpNetwork>) -> Vec<Part> {
    let removed = held.difference(wanted).map(|subnet| (*subnet, false));
    let added = wanted.difference(held).map(|subnet| (*subnet, true));
    let mut changes: Vec<(IpNetwork, bool)> = removed.chain(added).collect();
    // Whoever holds another comes before it, so that they stand together.
    changes.sort_by_key(|(subnet, adds)| (subnet.network(), subnet.prefix(), *adds));
    let mut parts: Vec<Part> = Vec::new();
    let mut around: Option<IpNetwork> = None;
    for (subnet, adds) in changes {
        let together = around.is_some_and(|around| around.contains(subnet.network()));
        if !together {
            around = Some(subnet);
        }
        let full = |part: &Part| part.add.len().max(part.remove.len());
        let open = parts.last().is_some_and(|part| full(part) < if together { 2 * PART } else { PART });
        if !open {
            parts.push(Part::default());
        }
        if let Some(part) = parts.last_mut() {
            if adds { part.add.push(subnet) } else { part.remove.push(subnet) }
        }
    }
    parts
}

#[cfg(test)]
mod tests;

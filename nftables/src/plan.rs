//! From what the kernel holds of a table to what should be: transactions of messages. Pure.
//!
//! Elements come before the rules that look them up and go after them, so that a rule never judges by a set that is not
//! whole.

mod difference;

use super::map::Map;
use super::nfnetlink::Message;
use super::observed::{Observed, ObservedChain, ObservedSet};
use super::subnets::Subnets;
use super::table::{self, Chain, INTERVAL, Set, Table};
use difference::{Step, difference};

/// What makes a table right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The table is made again: what is held of it has another shape, or none.
    pub(super) whole: bool,
    /// Transactions, in order: the objects that are missing, then elements. Each leaves the sets without overlap, and one
    /// that is refused stops none of the others but those of its own subnets.
    pub(super) sets: Vec<Vec<Message>>,
    /// The last one: the rules, which want all elements in.
    pub(super) rules: Vec<Message>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.rules.is_empty()
    }

    /// All of it as one transaction.
    pub(super) fn at_once(&self) -> Vec<Message> {
        self.sets.iter().flatten().chain(&self.rules).cloned().collect()
    }
}

/// Changes the table in place as far as it has the shape that it should have; otherwise makes it again.
pub(super) fn plan(table: &Table, observed: Option<&Observed>) -> Plan {
    match observed {
        Some(observed) if fits(table, observed) => change(table, observed, Vec::new()),
        Some(_) => again(table),
        None => Plan { whole: true, ..change(table, &Observed::default(), vec![table::new_table(table)]) },
    }
}

/// Removes the table and makes it again.
pub(super) fn again(table: &Table) -> Plan {
    // The first message is for a table that was removed meanwhile: the second one fails where there is none.
    let new = || table::new_table(table);
    let first = vec![new(), table::remove_table(table.family, table.name), new()];
    Plan { whole: true, ..change(table, &Observed::default(), first) }
}

fn change(table: &Table, held: &Observed, mut first: Vec<Message>) -> Plan {
    let mut steps = Vec::new();
    for (set, id) in table.sets.iter().zip(1..) {
        let known = held.sets.get(set.name);
        if known.is_none() {
            first.push(table::new_set(table, set, id));
        }
        let none = Subnets::default();
        let known = known.and_then(|known| known.subnets.as_ref()).unwrap_or(&none);
        steps.extend(difference(known, &set.subnets).into_iter().map(|step| elements(table, set, &step)));
    }
    let names = table.maps.iter().zip(1 + u32::try_from(table.sets.len()).unwrap_or_default()..);
    let missing = names.filter(|(map, _)| !held.sets.contains_key(map.name));
    first.extend(missing.map(|(map, id)| map.creation(table, id)));
    let sets = [first].into_iter().chain(steps).filter(|transaction| !transaction.is_empty()).collect();
    Plan { whole: false, sets, rules: rules(table, held) }
}

/// Whether the sets and chains of our names are of our shape; a kernel changes no shape.
fn fits(table: &Table, observed: &Observed) -> bool {
    let set = |set: &Set, held: &ObservedSet| held.shape == (INTERVAL, set.key_length()) && held.subnets.is_some();
    let chain = |chain: &Chain, held: &ObservedChain| {
        let hook = &chain.hook;
        (held.kind.as_str(), held.number, held.priority, held.policy) == (hook.kind, hook.number, hook.priority, 1)
    };
    let map = |map: &Map, held: &ObservedSet| held.shape == map.shape();
    table.sets.iter().all(|ours| observed.sets.get(ours.name).is_none_or(|held| set(ours, held)))
        && table.maps.iter().all(|ours| observed.sets.get(ours.name).is_none_or(|held| map(ours, held)))
        && table.chains.iter().all(|ours| observed.chains.get(ours.name).is_none_or(|held| chain(ours, held)))
}

/// Makes the rules right, and removes the chains and sets that are not in `table`.
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
    let is_ours = |name: &&String| {
        table.sets.iter().map(|set| set.name).chain(table.maps.iter().map(|map| map.name)).any(|own| own == **name)
    };
    let extra = held.sets.keys().filter(|name| !is_ours(name));
    messages.extend(extra.map(|name| table::remove_set(table, name)));
    messages
}

fn elements(table: &Table, set: &Set, step: &Step) -> Vec<Message> {
    // Those that go first: what comes may lie where they were.
    let message = |adds, subnets: &[_]| (!subnets.is_empty()).then(|| table::elements(table, set.name, adds, subnets));
    message(false, &step.remove).into_iter().chain(message(true, &step.add)).collect()
}

#[cfg(test)]
mod tests;

//! nf_tables of the kernel, spoken over nfnetlink: tables as values, what the kernel holds of them, and the change that
//! makes the one the other. Which rules there should be is not known here.
//!
//! A table that is right is left alone, and one that is nearly right is changed where it differs: a set loses and gains
//! elements, and no rule is loaded again for it. Each rule carries a comment with a digest of itself, by which it is known.

mod counted;
mod expression;
mod foreign;
mod map;
mod needed;
mod nfnetlink;
mod observed;
mod plan;
#[cfg(test)]
mod samples;
mod shape;
mod subnets;
mod table;
mod withdraw;

use nix::errno::Errno;

pub use counted::counted;
pub use expression::{Cmp, Expression, KeyPart, Verdict};
pub use foreign::{BaseChain, End, Field, ForeignRule, Step, all_base_chains, base_chains, change, rules};
pub use map::{Change, Element, Kind, Map, change_elements, elements};
pub use nfnetlink::{Error, Event, Nfnetlink};
pub use shape::{Shape, ensure_in, leave};
pub use subnets::Subnets;
pub use table::{Chain, Hook, Rule, Set, Table, TableFamily, octets};
pub use withdraw::{chains, tables, withdraw};

use observed::observe;
use plan::{Plan, again, plan};

/// Changes the kernel's table of this name to `table`; true when there was something to change. Where the kernel refuses the
/// change in place, the table is removed and made again.
pub fn ensure(socket: &mut Nfnetlink, table: &Table) -> Result<bool, Error> {
    let plan = plan(table, observe(socket, table.family, table.name)?.as_ref());
    if plan.is_empty() {
        return Ok(false);
    }
    match apply(socket, &plan) {
        Err(in_place @ Error::Refused { .. }) if !plan.whole => apply(socket, &again(table))
            .map_err(|again| Error::Twice { in_place: in_place.into(), again: again.into() })?,
        done => done?,
    }
    Ok(true)
}

/// Sends the plan's transactions. A table that is made as a whole is made in one transaction where the socket has room for it,
/// so that it is never incomplete.
fn apply(socket: &mut Nfnetlink, plan: &Plan) -> Result<(), Error> {
    if plan.whole {
        match socket.transaction(plan.at_once()) {
            Err(error) if error.is_too_large() => {}
            done => return done,
        }
    }
    let mut refused = None;
    for transaction in &plan.sets {
        match socket.transaction(transaction.clone()) {
            // The others change other subnets.
            Err(error @ Error::Refused { .. }) => refused = refused.or(Some(error)),
            done => done?,
        }
    }
    match refused {
        Some(error) => Err(error),
        None if plan.rules.is_empty() => Ok(()),
        None => socket.transaction(plan.rules.clone()),
    }
}

/// Whether the kernel's table of this name equals `table`. Changes nothing.
pub fn is_in_place(socket: &mut Nfnetlink, table: &Table) -> Result<bool, Error> {
    Ok(plan(table, observe(socket, table.family, table.name)?.as_ref()).is_empty())
}

/// Whether the rules of the table's chains are those of `table`, in their order: one question, whatever else there is.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn has_rules(socket: &mut Nfnetlink, table: &Table) -> Result<bool, Error> {
    let held = observed::comments(socket, table.family, table.name)?;
    let is_held = |chain: &Chain| {
        let of_chain = held.iter().filter(|(name, _)| name == chain.name).map(|(_, comment)| comment);
        of_chain.eq(chain.rules.iter().map(Rule::comment).collect::<Vec<_>>().iter())
    };
    Ok(table.chains.iter().all(is_held))
}

/// Whether the kernel would make `table`, tried under the name `trial`, which no table has. Nothing is changed, and nobody is
/// told of it: the transaction has no end, so that the kernel takes it back.
///
/// # Errors
/// Why it would not.
pub fn rehearse(socket: &mut Nfnetlink, table: &Table, trial: &'static str) -> Result<(), Error> {
    socket.rehearsal(plan(&Table { name: trial, ..table.clone() }, None).at_once())
}

/// Removes a table with its contents; false when there was none.
pub fn remove(socket: &mut Nfnetlink, family: TableFamily, name: &str) -> Result<bool, Error> {
    match socket.transaction(vec![table::remove_table(family, name)]) {
        Ok(()) => Ok(true),
        Err(Error::Refused { errno: Errno::ENOENT, .. }) => Ok(false),
        Err(error) if error.is_without_tables() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;

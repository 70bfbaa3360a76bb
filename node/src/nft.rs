//! nf_tables of the kernel, spoken over nfnetlink: tables as values, what the kernel holds of them, and the change that
//! makes the one the other. Which rules there should be is not known here.
//!
//! A table that is right is left alone, and one that is nearly right is changed where it differs: a set loses and gains
//! elements, and no rule is loaded anew for it. Each rule carries a comment with a digest of itself, by which it is known.

mod attribute;
mod counted;
mod expression;
mod foreign;
mod nfnetlink;
mod observed;
mod plan;
mod table;

use nix::errno::Errno;

pub(crate) use counted::counted;
pub(crate) use expression::{Cmp, Expression, Verdict};
pub(crate) use foreign::{BaseChain, End, Field, ForeignRule, Step, base_chains, change, rules};
pub(crate) use nfnetlink::{Error, Event, Nfnetlink};
pub(crate) use table::{Chain, Family, Hook, Rule, Set, Table, octets};

use observed::observe;
use plan::plan;

/// Makes `table` what the kernel holds under its name; true when there was something to change.
pub(crate) fn put(socket: &mut Nfnetlink, table: &Table) -> Result<bool, Error> {
    let observed = observe(socket, table.family, table.name)?;
    let transactions = plan(table, observed.as_ref());
    let due = !transactions.is_empty();
    for transaction in transactions {
        socket.transaction(transaction)?;
    }
    Ok(due)
}

/// Whether the kernel holds `table` as it should be. Asks, and changes nothing.
pub(crate) fn stands(socket: &mut Nfnetlink, table: &Table) -> Result<bool, Error> {
    Ok(plan(table, observe(socket, table.family, table.name)?.as_ref()).is_empty())
}

/// Removes a table with all that is in it; false when there was none.
pub(crate) fn remove(socket: &mut Nfnetlink, family: Family, name: &str) -> Result<bool, Error> {
    match socket.transaction(vec![table::remove_table(family, name)]) {
        Ok(()) => Ok(true),
        Err(Error::Refused { errno: Errno::ENOENT, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

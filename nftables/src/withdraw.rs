//! What takes objects of another program out of a table: some of its rules by handle, and whole chains.

use netlink::wire::{Attribute, Attributes};

use super::nfnetlink::{self, Error, Message, Nfnetlink};
use super::table::{TableFamily, message};

/// The tables of the kernel: family, by Netfilter's number, and name. None where it has no nf_tables.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn tables(socket: &mut Nfnetlink) -> Result<Vec<(u8, String)>, Error> {
    let all = match socket.dump(0, nfnetlink::GET_TABLE, &[]) {
        Err(error) if error.is_without_tables() => Vec::new(),
        dumped => dumped?,
    };
    Ok(all.iter().filter_map(|(family, table)| Some((*family, Attributes(table).text(1)?.to_owned()))).collect())
}

/// The names of a table's chains; none where there is no such table.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn chains(socket: &mut Nfnetlink, family: TableFamily, table: &str) -> Result<Vec<String>, Error> {
    let all = socket.dump(family as u8, nfnetlink::GET_CHAIN, &[Attribute::text(1, table)])?;
    let chains = all.iter().map(|(_, chain)| Attributes(chain)).filter(|chain| chain.text(1) == Some(table));
    Ok(chains.filter_map(|chain| chain.text(3).map(str::to_owned)).collect())
}

/// Removes rules, each by its chain and its handle, and then whole chains with their rules; all of it or nothing.
///
/// # Errors
/// When the kernel refuses, as where another rule still jumps to one of the chains.
pub fn withdraw(
    socket: &mut Nfnetlink,
    family: TableFamily,
    table: &str,
    rules: &[(&str, u64)],
    chains: &[&str],
) -> Result<(), Error> {
    // NFTA_RULE_TABLE 1, _CHAIN 2, _HANDLE 3; NFTA_CHAIN_TABLE 1, _NAME 3.
    let rule = |(chain, handle): &(&str, u64)| {
        let attributes = vec![Attribute::text(1, table), Attribute::text(2, chain), Attribute::be64(3, *handle)];
        message(family, nfnetlink::DELETE_RULE, attributes)
    };
    let emptied = |chain: &&str| {
        message(family, nfnetlink::DELETE_RULE, vec![Attribute::text(1, table), Attribute::text(2, chain)])
    };
    let removed = |chain: &&str| {
        message(family, nfnetlink::DELETE_CHAIN, vec![Attribute::text(1, table), Attribute::text(3, chain)])
    };
    let messages = rules.iter().map(rule).chain(chains.iter().map(emptied)).chain(chains.iter().map(removed));
    let messages: Vec<Message> = messages.collect();
    if messages.is_empty() { Ok(()) } else { socket.transaction(messages) }
}

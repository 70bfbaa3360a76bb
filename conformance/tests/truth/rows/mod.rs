//! The rows: what breaks a node, by what is broken.

/// A script that adds one rule to a chain `c` of a new table `x`, and prints the rule's handle.
macro_rules! nft_rule {
    ($family:literal, $hook:literal, $rule:literal) => {
        concat!(
            "nft add table ",
            $family,
            " x\n",
            "nft 'add chain ",
            $family,
            " x c { type ",
            $hook,
            "; }'\n",
            "nft -ae 'add rule ",
            $family,
            " x c ",
            $rule,
            "' | sed -n 's/.*# handle \\([0-9]*\\).*/\\1/p' | grep ."
        )
    };
}

mod agent;
mod files;
mod forwarding;
mod hooks;
mod list;
mod network;
mod pods;
mod pools;
mod routing;
mod store;
mod translation;

use crate::row::Row;

/// Every row by the name of its test, in the table's order.
pub(crate) fn all() -> Vec<(&'static str, Row)> {
    [
        network::all(),
        list::all(),
        forwarding::all(),
        hooks::all(),
        translation::all(),
        routing::all(),
        pods::all(),
        pools::all(),
        store::all(),
        agent::all(),
        files::all(),
    ]
    .concat()
}

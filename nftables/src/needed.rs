//! Which module of the kernel a message needs. A kernel that lacks one answers as if an object were missing. Pure.

use netlink::wire::Attributes;
use nix::errno::Errno;

use super::nfnetlink::{self, Message};

/// What the kernel has of nf_tables at the least.
pub(super) const TABLES: &str = "nf_tables";

/// The module without which the kernel makes nothing of a message (`CONFIG_` and its name in capitals is the option); "" for a
/// message that makes no table, chain, set or rule.
pub(super) fn needed(message: &Message) -> &'static str {
    let find = |kind: u16| {
        let mut all = message.attributes.iter().flat_map(|attribute| Attributes(attribute.encoded()));
        all.find_map(|(found, value)| (found == kind).then_some(value)).unwrap_or_default()
    };
    match message.kind {
        nfnetlink::NEW_TABLE | nfnetlink::NEW_SET => TABLES,
        // NFTA_CHAIN_TYPE 7.
        nfnetlink::NEW_CHAIN if find(7) == b"nat\0" => "nft_chain_nat",
        nfnetlink::NEW_CHAIN => TABLES,
        // NFTA_RULE_EXPRESSIONS 4 {NFTA_LIST_ELEM 1 {NFTA_EXPR_NAME 1}}.
        nfnetlink::NEW_RULE => {
            let mut names = Attributes(find(4)).filter_map(|(_, expression)| Attributes(expression).text(1));
            names.find_map(module_of).unwrap_or(TABLES)
        }
        _ => "",
    }
}

/// The module of an expression; `None` for one that nf_tables itself has.
fn module_of(expression: &str) -> Option<&'static str> {
    Some(match expression {
        "fib" => "nft_fib",
        "masq" => "nft_masq",
        "nat" => "nft_nat",
        "ct" => "nft_ct",
        _ => return None,
    })
}

/// Whether this answer may mean that the kernel lacks what a message needs (`nf_tables_api.c`).
pub(super) fn is_of_a_lack(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{new_chain, new_rule, new_table, remove_table};
    use crate::{Chain, Expression, Hook, Rule, Table, TableFamily};

    #[test]
    fn a_message_is_known_by_what_it_makes() {
        let rule = |expressions| Rule { purpose: "podlan: test", expressions };
        let chain = |kind| Chain { name: "c", hook: Hook { kind, number: 0, priority: 0 }, rules: Vec::new() };
        let (family, name) = (TableFamily::Inet, "podlan-test");
        let table = Table { family, name, sets: Vec::new(), maps: Vec::new(), chains: Vec::new() };
        assert_eq!(needed(&new_table(&table)), "nf_tables");
        assert_eq!(needed(&new_chain(&table, &chain("filter"))), "nf_tables");
        assert_eq!(needed(&new_chain(&table, &chain("nat"))), "nft_chain_nat");
        let of = |expressions| needed(&new_rule(family, name, "c", &rule(expressions)));
        assert_eq!(of(vec![Expression::IncomingLinkName, Expression::RouteBackToLinkExists]), "nft_fib");
        assert_eq!(of(vec![Expression::Counter, Expression::Masquerade]), "nft_masq");
        assert_eq!(of(vec![Expression::Counter]), "nf_tables");
        assert_eq!(needed(&remove_table(family, name)), "");
    }
}

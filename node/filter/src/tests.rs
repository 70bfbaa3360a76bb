use super::*;

/// The comments of a table's rules, in order.
fn comments(table: &Table) -> Vec<String> {
    table.chains.iter().flat_map(|chain| chain.rules.iter().map(nftables::Rule::comment)).collect()
}

/// The agent compares rules by their comments, and these hold a digest of the `Debug` text of the expressions. With
/// other comments an agent that takes over from one of another release would replace rules that are right.
#[test]
fn the_comments_of_our_tables_are_the_same_in_each_release() {
    let source = [
        "podlan: pods send with their own addresses only [8b7363e6]",
        "podlan: the node's loopback is not for pods [98011213]",
    ];
    assert_eq!(comments(&source_rule::table()), source);
    assert_eq!(comments(&arp_guard::table()), ["podlan: the pods' gateway answers pods only [9083cf03]"]);
    let masquerade = [
        "podlan: out of the cluster with the node's address [71bf2324]",
        "podlan: out of the cluster with the node's address [79a39ccd]",
    ];
    assert_eq!(comments(&masquerade::table(&Sides::default())), masquerade);
}

use std::collections::BTreeMap;

use super::*;
use crate::nft::expression::{Expression, Verdict};
use crate::nft::nfnetlink::{DELETE_ELEMENTS, DELETE_TABLE, NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE};
use crate::nft::table::{Family, Hook, Rule};

fn subnets(texts: &[&str]) -> BTreeSet<IpNetwork> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn table(inside: BTreeSet<IpNetwork>) -> Table {
    let rule = Rule { says: "podlan: test", expressions: vec![Expression::Decide(Verdict::Drop)] };
    let hook = Hook { kind: "nat", number: 4, priority: 100 };
    let chain = Chain { name: "masquerade", hook, rules: vec![rule] };
    let set = Set { name: "inside4", v6: false, subnets: inside };
    Table { family: Family::Inet, name: "podlan", sets: vec![set], chains: vec![chain] }
}

/// What the kernel holds once `table` is in place.
fn held(table: &Table) -> Observed {
    let set = |set: &Set| {
        let shape = (INTERVAL, if set.v6 { 16 } else { 4 });
        (set.name.to_owned(), ObservedSet { shape, subnets: Some(set.subnets.clone()) })
    };
    let chain = |chain: &Chain| {
        let observed = ObservedChain {
            kind: chain.hook.kind.to_owned(),
            number: chain.hook.number,
            priority: chain.hook.priority,
            policy: 1,
            rules: chain.rules.iter().map(Rule::comment).collect(),
        };
        (chain.name.to_owned(), observed)
    };
    Observed {
        sets: table.sets.iter().map(set).collect::<BTreeMap<_, _>>(),
        chains: table.chains.iter().map(chain).collect(),
    }
}

fn kinds(transactions: &[Vec<Message>]) -> Vec<Vec<u16>> {
    transactions.iter().map(|messages| messages.iter().map(|message| message.kind).collect()).collect()
}

#[test]
fn a_table_that_is_right_is_left_alone() {
    let table = table(subnets(&["10.244.1.0/24"]));
    assert_eq!(plan(&table, Some(&held(&table))), Vec::<Vec<Message>>::new());
}

#[test]
fn a_new_table_has_its_elements_before_its_rules_in_one_transaction() {
    let kinds = kinds(&plan(&table(subnets(&["10.244.1.0/24"])), None));
    assert_eq!(kinds, [[NEW_TABLE, NEW_SET, NEW_ELEMENTS, NEW_CHAIN, NEW_RULE]]);
}

#[test]
fn another_node_changes_elements_and_no_rule() {
    let before = held(&table(subnets(&["10.244.1.0/24", "10.244.2.0/24"])));
    let kinds = kinds(&plan(&table(subnets(&["10.244.1.0/24", "10.244.3.0/24"])), Some(&before)));
    assert_eq!(kinds, [[DELETE_ELEMENTS, NEW_ELEMENTS]]);
}

#[test]
fn ten_thousand_subnets_come_in_messages_and_datagrams_of_bounded_size() {
    let many: BTreeSet<IpNetwork> = (0..10_000u32)
        .map(|number| IpNetwork::new(std::net::Ipv4Addr::from(0x0a00_0000 + number * 256).into(), 24).unwrap())
        .collect();
    for transaction in plan(&table(many.clone()), Some(&held(&table(BTreeSet::new())))) {
        let sizes: Vec<usize> = transaction
            .iter()
            .map(|message| message.attributes.iter().map(|attribute| attribute.encoded().len()).sum())
            .collect();
        assert!(sizes.iter().all(|size| *size < 60_000), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() < 150_000, "{sizes:?}");
    }
    let parts = differences(&BTreeSet::new(), &many);
    assert_eq!(parts.iter().flat_map(|part| &part.add).copied().collect::<BTreeSet<_>>(), many);
}

#[test]
fn a_subnet_and_those_that_it_replaces_change_places_in_one_part() {
    let mut narrow = subnets(&["10.1.0.0/24", "10.1.1.0/24", "10.1.200.0/24"]);
    let mut wide = subnets(&["10.1.0.0/16"]);
    // So many before them that a part is nearly full.
    let filler = (0..u32::try_from(PART).unwrap() - 2)
        .map(|number| IpNetwork::new(std::net::Ipv4Addr::from(0x0100_0000 + number * 256).into(), 24).unwrap());
    wide.extend(filler.clone());
    for (held, wanted) in [(&narrow, &wide), (&wide, &narrow)] {
        let parts = differences(held, wanted);
        let with = |subnet: &str| {
            let subnet = subnet.parse().unwrap();
            parts.iter().position(|part| part.add.contains(&subnet) || part.remove.contains(&subnet)).unwrap()
        };
        assert_eq!((with("10.1.0.0/16"), with("10.1.0.0/24")), (with("10.1.1.0/24"), with("10.1.200.0/24")));
        assert_eq!(with("10.1.0.0/16"), with("10.1.1.0/24"));
    }
    narrow.clear();
    assert_eq!(differences(&narrow, &narrow), []);
}

#[test]
fn a_rule_that_somebody_added_or_changed_goes_and_the_sets_stay() {
    let table = table(subnets(&["10.244.1.0/24"]));
    let mut seen = held(&table);
    seen.chains.get_mut("masquerade").unwrap().rules.push(String::new());
    let kinds = kinds(&plan(&table, Some(&seen)));
    assert_eq!(kinds, [[crate::nft::nfnetlink::DELETE_RULE, NEW_RULE]]);
}

#[test]
fn a_chain_of_another_shape_makes_the_table_anew() {
    let table = table(subnets(&["10.244.1.0/24"]));
    let mut seen = held(&table);
    seen.chains.get_mut("masquerade").unwrap().priority = 0;
    assert_eq!(kinds(&plan(&table, Some(&seen)))[0][..2], [DELETE_TABLE, NEW_TABLE]);
}

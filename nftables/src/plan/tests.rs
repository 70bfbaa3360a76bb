use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use netlink::Family;

use super::*;
use crate::expression::{Expression, Verdict};
use crate::nfnetlink::{DELETE_ELEMENTS, DELETE_TABLE, NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE};
use crate::table::{Hook, Rule, TableFamily};

fn subnets(texts: &[&str]) -> Subnets {
    texts.iter().map(|text| text.parse::<IpNetwork>().unwrap()).collect()
}

fn table(inside: Subnets) -> Table {
    let rule = Rule { purpose: "podlan: test", expressions: vec![Expression::Decide(Verdict::Drop)] };
    let hook = Hook { kind: "nat", number: 4, priority: 100 };
    let chain = Chain { name: "masquerade", hook, rules: vec![rule] };
    let set = Set { name: "inside4", family: Family::V4, subnets: inside };
    Table { family: TableFamily::Inet, name: "podlan", sets: vec![set], maps: Vec::new(), chains: vec![chain] }
}

/// What the kernel holds once `table` is in place.
fn held(table: &Table) -> Observed {
    let set = |set: &Set| {
        let shape = (INTERVAL, set.key_length());
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

fn kinds(plan: &Plan) -> Vec<Vec<u16>> {
    let transactions = plan.sets.iter().chain([&plan.rules]).filter(|transaction| !transaction.is_empty());
    transactions.map(|messages| messages.iter().map(|message| message.kind).collect()).collect()
}

#[test]
fn a_table_that_is_right_is_left_alone() {
    let table = table(subnets(&["10.244.1.0/24"]));
    assert!(plan(&table, Some(&held(&table))).is_empty());
}

#[test]
fn a_new_table_has_its_elements_before_its_rules_in_one_transaction() {
    let plan = plan(&table(subnets(&["10.244.1.0/24"])), None);
    let kinds: Vec<u16> = plan.at_once().iter().map(|message| message.kind).collect();
    assert_eq!((plan.whole, kinds), (true, vec![NEW_TABLE, NEW_SET, NEW_ELEMENTS, NEW_CHAIN, NEW_RULE]));
}

#[test]
fn another_node_changes_elements_and_no_rule() {
    let before = held(&table(subnets(&["10.244.1.0/24", "10.244.2.0/24"])));
    let kinds = kinds(&plan(&table(subnets(&["10.244.1.0/24", "10.244.3.0/24"])), Some(&before)));
    assert_eq!(kinds, [[DELETE_ELEMENTS, NEW_ELEMENTS]]);
}

#[test]
fn ten_thousand_subnets_come_in_transactions_of_bounded_size_and_a_whole_table_in_one() {
    let many: Subnets = (0..10_000u32)
        .map(|number| IpNetwork::new(std::net::Ipv4Addr::from(0x0a00_0000 + number * 256).into(), 24).unwrap())
        .collect();
    let sizes = |messages: &[Message]| -> Vec<usize> {
        let size = |message: &Message| message.attributes.iter().map(|attribute| attribute.encoded().len()).sum();
        messages.iter().map(size).collect()
    };
    let all = table(many);
    for transaction in &plan(&all, Some(&held(&table(Subnets::default())))).sets {
        let sizes = sizes(transaction);
        assert!(sizes.iter().all(|size| *size < 60_000), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() < 120_000, "{sizes:?}");
    }
    let at_once = plan(&all, None).at_once();
    assert!(sizes(&at_once).iter().all(|size| *size < 60_000));
    assert_eq!(at_once.last().map(|message| message.kind), Some(NEW_RULE), "the rules come behind all elements");
}

#[test]
fn a_rule_that_somebody_added_or_changed_goes_and_the_sets_stay() {
    let table = table(subnets(&["10.244.1.0/24"]));
    let mut seen = held(&table);
    seen.chains.get_mut("masquerade").unwrap().rules.push(String::new());
    let kinds = kinds(&plan(&table, Some(&seen)));
    assert_eq!(kinds, [[crate::nfnetlink::DELETE_RULE, NEW_RULE]]);
}

#[test]
fn a_chain_of_another_shape_has_the_table_made_again() {
    let table = table(subnets(&["10.244.1.0/24"]));
    let mut seen = held(&table);
    seen.chains.get_mut("masquerade").unwrap().priority = 0;
    let plan = plan(&table, Some(&seen));
    assert_eq!((plan.whole, &kinds(&plan)[0][..3]), (true, &[NEW_TABLE, DELETE_TABLE, NEW_TABLE][..]));
}

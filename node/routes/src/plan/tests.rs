//! The laws of a plan, over any desired and any observed routes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn routes() -> impl Strategy<Value = Routes> {
    let key = (0u8..20, any::<bool>(), any::<bool>()).prop_map(|(subnet, v6, own)| {
        let destination = match v6 {
            false => format!("10.244.{subnet}.0/24"),
            true => format!("fd00:10:244:{subnet:x}::/64"),
        };
        let destination = destination.parse().unwrap();
        if own { Key::own(destination) } else { Key::peer(destination) }
    });
    let target = prop_oneof![
        (1u8..5, 2u32..4, any::<bool>()).prop_map(|(host, link, onlink)| Target::Hop {
            via: [10, 0, 0, host].into(),
            link,
            onlink
        }),
        Just(Target::Unreachable),
        Just(Target::Foreign),
    ];
    proptest::collection::btree_map(key, target, 0..30)
}

/// The kernel's own rules: an add needs a free place, a removal a taken one.
fn carry_out(plan: &Plan, table: &mut Routes) {
    for change in &plan.changes {
        match *change {
            Change::Add(key, target) => assert_eq!(table.insert(key, target), None, "an add finds its place free"),
            Change::Replace(key, target) => assert!(table.insert(key, target).is_some(), "a replacement replaces"),
            Change::Remove(key) => assert!(table.remove(&key).is_some(), "a removal removes"),
        }
    }
}

proptest! {
    #[test]
    fn the_plan_leads_from_what_is_to_what_should_be(desired in routes(), mut table in routes()) {
        carry_out(&plan(&desired, &table), &mut table);
        prop_assert_eq!(&table, &desired);
        prop_assert_eq!(plan(&desired, &table), Plan::default(), "plan after apply is empty");
    }

    #[test]
    fn nothing_is_removed_before_all_that_is_new_is_in(desired in routes(), observed in routes()) {
        let plan = plan(&desired, &observed);
        let removals = plan.changes.iter().skip_while(|change| !matches!(change, Change::Remove(_)));
        prop_assert!(removals.clone().all(|change| matches!(change, Change::Remove(_))));
    }

    #[test]
    fn a_route_that_is_right_is_not_touched(desired in routes(), observed in routes()) {
        for change in plan(&desired, &observed).changes {
            prop_assert_ne!(desired.get(&change.key()), observed.get(&change.key()));
        }
    }

    #[test]
    fn at_no_step_a_desired_destination_is_missing_that_was_there(desired in routes(), observed in routes()) {
        let mut table: BTreeMap<_, _> = observed.clone();
        for change in plan(&desired, &observed).changes {
            carry_out(&Plan { changes: vec![change] }, &mut table);
            for key in desired.keys().filter(|key| observed.contains_key(*key)) {
                prop_assert!(table.contains_key(key));
            }
        }
    }
}

//! The laws of the steps, against a naive oracle that knows ranges of numbers only.

use proptest::prelude::*;

use super::*;
use crate::samples::{Ranges, any_family, any_subnets};

fn cidrs(texts: &[&str]) -> Subnets {
    texts.iter().map(|text| text.parse::<IpNetwork>().unwrap()).collect()
}

/// What the set is after each step; panics where a step removes what is not there, or adds what overlaps.
fn states(held: &Subnets, steps: &[Step]) -> Vec<Vec<IpNetwork>> {
    let mut state: Vec<IpNetwork> = held.iter().collect();
    let mut states = Vec::new();
    for step in steps {
        for subnet in &step.remove {
            let at = state.iter().position(|one| one == subnet).expect("what is removed is there");
            state.swap_remove(at);
        }
        state.extend(&step.add);
        let disjoint: Subnets = state.iter().copied().collect();
        assert_eq!(disjoint.iter().count(), state.len(), "two subnets overlap");
        states.push(state.clone());
    }
    states
}

fn laws(held: &Subnets, wanted: &Subnets) {
    let steps = difference(held, wanted);
    assert!(steps.iter().all(|step| step.remove.len() <= STEP && step.add.len() <= STEP && step.size() > 0));
    let (before, after) = (Ranges::of(held.iter()), Ranges::of(wanted.iter()));
    let (both, either) = (before.intersection(&after), before.union(&after));
    let states = states(held, &steps);
    for state in &states {
        let now = Ranges::of(state.iter().copied());
        assert!(both.lie_in(&now), "an address that is in both sets is missing");
        assert!(now.lie_in(&either), "an address that is in neither set is in");
    }
    let end: Subnets = states.last().cloned().unwrap_or_else(|| held.iter().collect()).into_iter().collect();
    assert_eq!(&end, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_step_is_valid_by_itself_and_loses_no_address_that_is_in_both_sets(
        (held, wanted) in any_family().prop_flat_map(|family| (any_subnets(family, 2000), any_subnets(family, 2000)))
    ) {
        laws(&held, &wanted);
        laws(&wanted, &held);
    }
}

#[test]
fn a_subnet_and_the_few_that_it_replaces_change_places_in_one_step() {
    let (narrow, wide) = (cidrs(&["10.1.0.0/24", "10.1.1.0/24", "10.1.200.0/24"]), cidrs(&["10.1.0.0/16"]));
    assert_eq!(difference(&narrow, &wide).len(), 1);
    assert_eq!(difference(&wide, &narrow).len(), 1);
    assert_eq!(difference(&wide, &wide), []);
}

#[test]
fn a_subnet_that_replaces_two_thousand_comes_half_by_half() {
    let count = 2000u32;
    let narrow: Subnets = (0..count)
        .map(|number| IpNetwork::new(std::net::Ipv4Addr::from(0x0a00_0000 + number * 256).into(), 24).unwrap())
        .collect();
    for wide in ["10.0.0.0/8", "0.0.0.0/0"] {
        let wide = cidrs(&[wide]);
        laws(&narrow, &wide);
        laws(&wide, &narrow);
        let steps = difference(&narrow, &wide).len();
        assert!((5..20).contains(&steps), "{steps} steps");
    }
}

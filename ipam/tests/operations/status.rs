//! STATUS is ok exactly when ADD is, over pools with fresh, cooling, leased, dead and stranded addresses and edited ranges.

use std::time::Duration;

use proptest::prelude::*;

use super::model::cases;
use super::*;
use ipam::on::status as rehearse;

/// Configurations that one network may have had, one after the other: wider, narrower, split, moved, of another gateway, of
/// several ranges and sets, of either family.
const CONFIGS: [&[&[&str]]; 9] = [
    &[&["10.0.0.0/29"]],
    &[&["10.0.0.0/28"]],
    &[&["10.0.0.8/30", "10.0.0.0/30"]],
    &[&["10.0.0.4/31"]],
    &[&["10.0.0.0/29"], &["2001:db8::/126"]],
    &[&["2001:db8::/125"]],
    &[&["2001:db8::/127"], &["10.0.0.0/30"]],
    &[&["10.0.0.0/30"], &["10.0.0.4/30"]],
    &[&["10.0.1.0/30", "10.0.0.0/30"], &["2001:db8::4/126", "2001:db8::/126"]],
];
const OWNERS: usize = 24;

#[derive(Debug, Clone)]
enum Step {
    Add(usize, usize),
    Del(usize),
    Fate(usize, Presence, Presence),
    Pass(u64),
    Reboot,
    Fill(usize),
    Full,
}

fn presence() -> impl Strategy<Value = Presence> {
    prop_oneof![2 => Just(Presence::Present), 4 => Just(Presence::Gone), 1 => Just(Presence::Unknown)]
}

fn step() -> impl Strategy<Value = Step> {
    let config = 0..CONFIGS.len();
    prop_oneof![
        8 => (0..OWNERS, config.clone()).prop_map(|(owner, config)| Step::Add(owner, config)),
        3 => (0..OWNERS).prop_map(Step::Del),
        3 => (0..OWNERS, presence(), presence()).prop_map(|(owner, link, netns)| Step::Fate(owner, link, netns)),
        1 => (1..200u64).prop_map(Step::Pass),
        1 => Just(Step::Reboot),
        2 => config.prop_map(Step::Fill),
        1 => Just(Step::Full),
    ]
}

fn wanted(config: usize, require: Require) -> Want {
    asking_as(CONFIGS[config], &[], require).unwrap()
}

fn text<T>(result: Result<T, Error>) -> Result<(), String> {
    result.map(drop).map_err(|error| {
        let error = cni::Error::from(error);
        // A full disk is met a step earlier by who asks than by who writes.
        if error.code.number() == 5 {
            return "5".to_owned();
        }
        format!("{} {} {}", error.code.number(), error.msg, error.details)
    })
}

/// What STATUS says, what ADD says, and that STATUS changed nothing.
fn compare(node: &Node, config: usize, require: Require) -> Result<(), TestCaseError> {
    let want = wanted(config, require);
    let before = node.memory.bytes();
    let said = text(rehearse(&node.memory, &want, "test", &node.fate, node.now));
    prop_assert_eq!(node.memory.bytes(), before, "STATUS wrote");
    let trial = node.copy();
    // The owner that STATUS asks for: a damaged line of the index is read for the owners of that line alone.
    let asking = Attachment {
        container_id: ContainerId::parse("podlan.status").unwrap(),
        ifname: Ifname::parse("status").unwrap(),
    };
    let added = trial.add(&want, &asking);
    prop_assert_eq!(said, text(added), "config {} {:?}", config, require);
    Ok(())
}

fn take(node: &mut Node, step: &Step) {
    match step {
        Step::Add(number, config) => drop(node.add(&want(CONFIGS[*config]), &owner(*number))),
        Step::Del(number) => drop(node.del(&owner(*number)).unwrap()),
        Step::Fate(number, link, netns) => node.sees(&owner(*number), *link, *netns),
        Step::Pass(seconds) => node.pass(Duration::from_secs(*seconds)),
        Step::Reboot => node.reboot(),
        Step::Fill(config) => {
            let full = (0..OWNERS).map(|number| owner(100 + number));
            full.take_while(|owner| node.add(&want(CONFIGS[*config]), owner).is_ok()).for_each(drop);
        }
        Step::Full => node.memory.limit(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// The law, with the very text and code.
    #[test]
    fn status_is_ok_exactly_when_add_is(steps in proptest::collection::vec(step(), 1..40)) {
        let mut node = Node::new();
        for step in &steps {
            node.pass(Duration::from_millis(1));
            take(&mut node, step);
            for config in 0..CONFIGS.len() {
                compare(&node, config, Require::Both)?;
            }
            compare(&node, 4, Require::Prefer)?;
        }
    }

    /// Of a store with a damaged byte too.
    #[test]
    fn status_of_a_damaged_store_says_what_add_says(
        steps in proptest::collection::vec(step(), 1..12),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
    ) {
        let mut node = Node::new();
        steps.iter().filter(|step| !matches!(step, Step::Full)).for_each(|step| take(&mut node, step));
        let Some(mut bytes) = node.memory.bytes() else { return Ok(()) };
        for (index, flip) in &damage {
            let at = index.index(bytes.len());
            bytes[at] ^= flip;
        }
        let damaged = Node { memory: Memory::with_store(bytes), now: node.now, fate: node.fate };
        for config in 0..CONFIGS.len() {
            compare(&damaged, config, Require::Both)?;
        }
    }
}

/// B5, as it was found.
#[test]
fn status_is_ok_for_a_pool_full_of_the_dead_and_for_a_range_that_was_edited() {
    let node = Node::new();
    let narrow = want(&[&["10.0.0.0/29"]]);
    (0..5).for_each(|number| drop(node.address(&narrow, number)));
    let says = |want: &Want| text(rehearse(&node.memory, want, "test", &node.fate, node.now));
    assert!(says(&narrow).unwrap_err().contains("used 5"));
    (0..5).for_each(|number| node.sees(&owner(number), Presence::Gone, Presence::Gone));
    let before = node.memory.bytes();
    assert_eq!(says(&narrow), Ok(()));
    assert_eq!(node.memory.bytes(), before);
    node.sees(&owner(0), Presence::Present, Presence::Present);
    // 10.0.0.2 is taken; the pool of the edited range has the same first addresses, and no line of its own yet.
    assert_eq!(says(&want(&[&["10.0.0.0/30"]])).unwrap_err().split(' ').next(), Some("11"));
    assert_eq!(says(&want(&[&["10.0.0.0/28"]])), Ok(()));
}

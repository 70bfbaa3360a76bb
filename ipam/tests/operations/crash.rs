//! Every operation of every kind of change meets every fault at every step: afterwards the store is as before or as
//! after, and the next try succeeds.

use std::io::ErrorKind;
use std::time::Duration;

use super::*;
use ipam::on::select;
use store::testing::Fault;

type Change = dyn Fn(&Node) -> Result<(), Error>;

/// A change, the node it is made on, and whether it is one commit.
struct Case {
    name: &'static str,
    node: Node,
    change: Box<Change>,
    single: bool,
}

const DUAL: &[&[&str]] = &[&["10.0.0.0/29"], &["2001:db8::/125"]];
const WIDE: &[&[&str]] = &[&["10.0.0.0/28"]];
const SMALL: &[&[&str]] = &[&["10.0.0.0/29"]];
const IMPORT: &str = "import what host-local leased";

fn case(
    name: &'static str,
    prepare: impl FnOnce(&mut Node),
    change: impl Fn(&Node) -> Result<(), Error> + 'static,
    single: bool,
) -> Case {
    let mut node = Node::new();
    prepare(&mut node);
    Case { name, node, change: Box::new(change), single }
}

fn add_of(sets: &'static [&'static [&'static str]], number: usize) -> impl Fn(&Node) -> Result<(), Error> {
    move |node| node.add(&want(sets), &owner(number)).map(drop)
}

fn fill(node: &Node, sets: &[&[&str]], numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| drop(node.address(&want(sets), number)));
}

fn cases() -> Vec<Case> {
    let dead = |node: &Node, number| node.sees(&owner(number), Presence::Gone, Presence::Gone);
    vec![
        case("make the store", |_| {}, add_of(DUAL, 1), true),
        case("give new addresses", |node| fill(node, DUAL, 0..3), add_of(DUAL, 9), true),
        case(
            "give released addresses",
            |node| {
                fill(node, DUAL, 0..5);
                (0..3).for_each(|number| drop(node.del(&owner(number)).unwrap()));
            },
            add_of(DUAL, 9),
            true,
        ),
        case(
            "complete a killed ADD",
            |node| {
                fill(node, DUAL, 0..3);
                node.sees(&owner(1), Presence::Gone, Presence::Present);
                node.pass(Duration::from_secs(1));
            },
            add_of(DUAL, 1),
            true,
        ),
        case("release", |node| fill(node, DUAL, 0..4), |node| node.del(&owner(2)).map(drop), true),
        case("gc", |node| fill(node, DUAL, 0..5), |node| node.gc(&[owner(3)]).map(drop), false),
        case(
            "scavenge",
            |node| {
                fill(node, DUAL, 0..5);
                [0, 3].into_iter().for_each(|number| dead(node, number));
            },
            |node| node.scavenge().map(drop),
            false,
        ),
        case(
            "scavenge in an ADD",
            |node| {
                fill(node, SMALL, 0..5);
                dead(node, 2);
            },
            add_of(SMALL, 9),
            false,
        ),
        case(
            "sweep after a reboot",
            |node| {
                fill(node, DUAL, 0..4);
                node.reboot();
                [0, 1].into_iter().for_each(|number| dead(node, number));
            },
            add_of(DUAL, 9),
            false,
        ),
        case(
            "grow the index",
            |node| {
                fill(node, SMALL, 200..201);
                fill(node, &[&["10.1.0.0/25"]], 100..163);
            },
            add_of(DUAL, 9),
            true,
        ),
        case(
            IMPORT,
            |node| {
                fill(node, DUAL, 0..4);
                node.del(&owner(2)).unwrap();
            },
            |node| {
                let files = [
                    ("10.0.0.2", "c0\r\neth0"),
                    ("10.0.0.4", "c8\r\neth0"),
                    ("10.0.0.6", "c9\r\neth0"),
                    ("2001:db8::7", "c9\r\neth0"),
                    ("last_reserved_ip.1", "2001:db8::7"),
                ];
                node.import(&want(DUAL), &files).map(drop)
            },
            true,
        ),
        case(
            "move free addresses of another pool",
            |node| {
                fill(node, &[&["10.0.0.0/30"]], 7..8);
                fill(node, SMALL, 0..2);
                fill(node, WIDE, 20..30);
                node.del(&owner(7)).unwrap();
            },
            add_of(WIDE, 9),
            false,
        ),
    ]
}

fn leases(audit: &Audit) -> Vec<(IpAddr, String)> {
    audit.leases.iter().map(|lease| (lease.address.ip(), lease.owner.container_id.to_string())).collect()
}

/// Apply a fault at each operation in turn until the change goes through untouched. `after_it` sees node and result.
fn at_every_operation(
    case: &Case,
    fault: Fault,
    mut after_it: impl FnMut(&mut Node, Result<(), Error>, usize),
) -> usize {
    for operation in 1.. {
        let mut node = case.node.copy();
        node.memory.plan(operation, fault);
        let result = (case.change)(&node);
        if !node.memory.was_hit() {
            result.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            return operation - 1;
        }
        after_it(&mut node, result, operation);
    }
    unreachable!("operations end")
}

/// What each state may be.
struct Bounds {
    before: Audit,
    after: Audit,
}

impl Bounds {
    fn of(case: &Case) -> Self {
        let node = case.node.copy();
        let before = node.audit();
        (case.change)(&node).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let after = node.audit();
        assert_ne!(before, after, "{}", case.name);
        Self { before, after }
    }

    /// Between the two: as before or as after, or, for a change of many commits, each lease as in one of them.
    fn hold(&self, case: &Case, node: &Node, context: &str) {
        let now = node.try_audit().unwrap_or_else(|error| panic!("{}, {context}: {error}", case.name));
        let now = Audit {
            leases: {
                let mut leases = now.leases;
                leases.sort_by_key(|l| l.address.ip());
                leases
            },
            ..now
        };
        if case.single {
            assert!(now == self.before || now == self.after, "{}, {context}: {now:?}", case.name);
            return;
        }
        let (before, after, now) = (leases(&self.before), leases(&self.after), leases(&now));
        let kept = before.iter().filter(|lease| after.contains(lease));
        assert!(kept.clone().all(|lease| now.contains(lease)), "{}, {context}: a lease was lost", case.name);
        assert!(now.iter().all(|lease| before.contains(lease) || after.contains(lease)), "{}, {context}", case.name);
    }
}

/// A kill can come before, within and after a write. I3, I4, I5.
#[test]
fn a_kill_at_any_operation_leaves_before_or_after_and_the_next_try_succeeds() {
    let mut points = 0;
    for case in cases() {
        let bounds = Bounds::of(&case);
        for part in [0, 100, 512] {
            points += at_every_operation(&case, Fault::Kill(part), |node, result, operation| {
                let context = format!("killed at {operation} with {part}/512 written");
                node.memory.restart();
                bounds.hold(&case, node, &context);
                // Only what follows the commit may be left undone without a word.
                assert!(result.is_err() || node.audit() == bounds.after, "{}, {context}", case.name);
                try_again(&case, node, &context);
            });
        }
    }
    println!("{points} kill points");
}

/// As a runtime would: DEL what the killed ADD may have left, then all over.
fn try_again(case: &Case, node: &Node, context: &str) {
    for number in [1, 9] {
        if case.node.owned(&owner(number)).unwrap().is_empty() {
            node.del(&owner(number)).unwrap_or_else(|error| panic!("{}, {context}, DEL: {error}", case.name));
        }
    }
    (case.change)(node).unwrap_or_else(|error| panic!("{}, {context}, again: {error}", case.name));
    node.audit();
}

/// E-33.
#[test]
fn a_refused_operation_changes_nothing_and_says_so() {
    let mut points = 0;
    for case in cases() {
        let bounds = Bounds::of(&case);
        for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::Other] {
            points += at_every_operation(&case, Fault::Refuse(kind), |node, result, operation| {
                let context = format!("{kind:?} at {operation}");
                node.memory.restart();
                let now = node.audit();
                match result {
                    // On a full disk a released address does instead of a new one.
                    Ok(()) => assert_eq!(now.leases.len(), bounds.after.leases.len(), "{}, {context}", case.name),
                    // It is in its place before the directory is synced: as before or as after, and whole.
                    Err(_) if case.name == IMPORT => bounds.hold(&case, node, &context),
                    Err(_) if case.single => assert_eq!(now, bounds.before, "{}, {context}", case.name),
                    Err(_) => bounds.hold(&case, node, &context),
                }
                try_again(&case, node, &context);
            });
            points += at_every_operation(&case, Fault::RefuseOn(kind), |node, result, operation| {
                let context = format!("{kind:?} from {operation} on");
                node.memory.restart();
                match result {
                    Ok(()) => assert_eq!(node.audit().leases.len(), bounds.after.leases.len(), "{context}"),
                    Err(_) => bounds.hold(&case, node, &context),
                }
                try_again(&case, node, &context);
            });
        }
    }
    println!("{points} refusals");
}

fn mix(seed: u64, number: u64) -> u64 {
    let mixed = (seed ^ number.rotate_left(32)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

/// What a power loss leaves, different for each seed: in pieces of 64 bytes, of a line, or of a page.
fn tear(seed: u64) -> impl Fn(usize) -> bool {
    let piece = [64, 512, 4096][usize::try_from(seed % 3).unwrap()];
    move |offset| mix(seed, (offset / piece) as u64).is_multiple_of(2)
}

/// What was reported survives; what was not is whole or absent. Any subset of sectors, lines or pages.
#[test]
fn a_power_loss_keeps_what_was_reported_and_tears_nothing() {
    let mut points = 0;
    for case in cases() {
        let bounds = Bounds::of(&case);
        for seed in 0..6 {
            let done = case.node.copy();
            (case.change)(&done).unwrap();
            done.memory.lose_power(tear(seed));
            assert_eq!(done.audit(), bounds.after, "{}: reported and lost (seed {seed})", case.name);
            points +=
                at_every_operation(&case, Fault::Kill(if seed % 2 == 0 { 512 } else { 300 }), |node, _, operation| {
                    let context = format!("power lost at {operation}, seed {seed}");
                    node.memory.lose_power(tear(seed * 1000 + operation as u64));
                    node.reboot();
                    bounds.hold(&case, node, &context);
                    // And once more in the middle of the recovery.
                    node.memory.plan(operation, Fault::Kill(512));
                    let _ = (case.change)(node);
                    node.memory.lose_power(tear(seed * 1000 + operation as u64 + 500));
                    node.reboot();
                    node.try_audit().unwrap_or_else(|error| panic!("{}, {context}, twice: {error}", case.name));
                    try_again(&case, node, &context);
                });
        }
    }
    println!("{points} power losses");
}

/// A commit that was not reported reached the medium, and what the file had grown by for it did not.
#[test]
fn a_power_loss_that_takes_a_files_growth_alone_damages_nothing() {
    for case in cases() {
        let bounds = Bounds::of(&case);
        at_every_operation(&case, Fault::Kill(512), |node, _, operation| {
            let context = format!("growth lost at {operation}");
            node.memory.lose_power(|offset| offset != usize::MAX);
            node.reboot();
            bounds.hold(&case, node, &context);
            let (listed, damage) = select(&node.memory, |_| true).unwrap();
            assert!(damage.is_none(), "{}, {context}: {damage:?}", case.name);
            assert_eq!(listed.len(), node.audit().leases.len(), "{}, {context}", case.name);
            try_again(&case, node, &context);
        });
    }
}

/// The recovery from one power loss is cut by another: at every pair of operations.
#[test]
fn a_second_power_loss_during_the_recovery_loses_nothing() {
    let mut points = 0;
    for case in cases().into_iter().filter(|case| ["give new addresses", "release"].contains(&case.name)) {
        let bounds = Bounds::of(&case);
        let sure: Vec<_> = leases(&bounds.before).into_iter().filter(|l| leases(&bounds.after).contains(l)).collect();
        for seed in 0..9u64 {
            at_every_operation(&case, Fault::Kill(512), |node, _, first| {
                node.memory.lose_power(tear(seed * 1000 + first as u64));
                node.reboot();
                for second in 10.. {
                    let mut again = node.copy();
                    again.memory.plan(second, Fault::Kill(512));
                    let _ = again.add(&want(DUAL), &owner(50));
                    if !again.memory.was_hit() {
                        break;
                    }
                    again.memory.lose_power(tear(seed * 7000 + (first * 100 + second) as u64));
                    again.reboot();
                    points += 1;
                    let context = format!("{}: lost at {first}, then at {second}, seed {seed}", case.name);
                    let audit = again.try_audit().unwrap_or_else(|error| panic!("{context}: {error}"));
                    let now = leases(&audit);
                    assert!(sure.iter().all(|lease| now.contains(lease)), "{context}: {now:?}");
                }
            });
        }
    }
    println!("{points} pairs of power losses");
}

/// A chain of changes, each cut off somewhere, never confuses the store.
#[test]
fn many_kills_in_a_row_are_as_good_as_one() {
    let small = want(DUAL);
    for seed in 0..30u64 {
        let mut node = Node::new();
        for step in 0..60usize {
            let who = owner(step * 7 % 6);
            let at = 1 + (step * 13 + usize::try_from(seed).unwrap()) % 40;
            node.memory.plan(at, Fault::Kill(if mix(seed, step as u64).is_multiple_of(2) { 512 } else { 130 }));
            let _ = if mix(seed, step as u64 + 1000).is_multiple_of(2) {
                node.add(&small, &who).map(drop)
            } else {
                node.del(&who).map(drop)
            };
            if seed % 3 == 0 {
                node.memory.lose_power(tear(seed * 100 + step as u64));
                node.reboot();
            } else {
                node.memory.restart();
            }
            node.try_audit().unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
        }
        (0..6).for_each(|number| drop(node.del(&owner(number)).unwrap()));
        assert_eq!(node.audit().leases, []);
    }
}

//! The laws of a change of sets, on the real kernel: each test runs in namespaces of its own.

use std::process::Command;

use ipnetwork::IpNetwork;
use netlink::Family;
use netlink::wire::Attribute;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::nfnetlink::{Message, NEW_SET, NEW_TABLE};
use super::samples::{Ranges, any_subnets};
use super::*;

/// Set in the environment of a test that is inside of its namespaces.
const INSIDE: &str = "PODLAN_NFT_TEST";
const SETS: [&str; 2] = ["inside4", "inside6"];

/// Runs `body` in a user and a network namespace of its own: this program again, for this one test, under unshare(1). The
/// kernel gives a user namespace only to a process of one thread.
fn within(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]);
        command
    };
    if !unshare().arg("true").output().is_ok_and(|done| done.status.success()) {
        let why = "unshare(1) gives no user namespace here";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped, which CI=true forbids: {why}");
        eprintln!("SKIPPED: {why}");
        return;
    }
    let exact = format!("tests::{test}");
    let done = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &exact, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "inside of the namespaces:\n{said}");
}

fn table(v4: &Subnets, v6: &Subnets) -> Table {
    let set = |name, family, subnets: &Subnets| Set { name, family, subnets: subnets.clone() };
    let load = Expression::NetworkHeader { offset: 16, length: 4 };
    let rule = Rule { purpose: "podlan: test", expressions: vec![load, Expression::Lookup(Cmp::Equal, SETS[0])] };
    let hook = Hook { kind: "filter", number: 0, priority: -300 };
    Table {
        family: TableFamily::Inet,
        name: "podlan-test",
        sets: vec![set(SETS[0], Family::V4, v4), set(SETS[1], Family::V6, v6)],
        maps: Vec::new(),
        chains: vec![Chain { name: "test", hook, rules: vec![rule] }],
    }
}

/// What the kernel holds of the two sets.
fn held(socket: &mut Nfnetlink) -> [Ranges; 2] {
    let observed = observe(socket, TableFamily::Inet, "podlan-test").unwrap().unwrap();
    SETS.map(|name| Ranges::of(observed.sets[name].subnets.as_ref().unwrap().iter()))
}

fn ranges([v4, v6]: [&Subnets; 2]) -> [Ranges; 2] {
    [Ranges::of(v4.iter()), Ranges::of(v6.iter())]
}

/// Carries the change out one transaction at a time, and looks after each.
fn change(socket: &mut Nfnetlink, from: [&Subnets; 2], to: [&Subnets; 2]) -> usize {
    let wanted = table(to[0], to[1]);
    let plan = plan(&wanted, observe(socket, wanted.family, wanted.name).unwrap().as_ref());
    assert!(!plan.whole && plan.rules.is_empty(), "the table has its shape, and its rules stay");
    for transaction in &plan.sets {
        socket.transaction(transaction.clone()).unwrap();
        let now = held(socket);
        for ((now, before), after) in now.iter().zip(&ranges(from)).zip(&ranges(to)) {
            assert!(before.intersection(after).lie_in(now), "an address that is in both sets was missing");
            assert!(now.lie_in(&before.union(after)), "an address that is in neither set was in");
        }
    }
    assert!(is_in_place(socket, &wanted).unwrap(), "the plan after the change is empty");
    plan.sets.len()
}

#[test]
fn any_set_becomes_any_other_in_place_and_no_address_of_both_is_ever_missing() {
    within("any_set_becomes_any_other_in_place_and_no_address_of_both_is_ever_missing", || {
        let config = ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() };
        let pair = || (any_subnets(Family::V4, 2000), any_subnets(Family::V6, 2000));
        let case = |((held4, held6), (wanted4, wanted6)): ((Subnets, Subnets), (Subnets, Subnets))| {
            let mut socket = Nfnetlink::requests().unwrap();
            ensure(&mut socket, &table(&held4, &held6)).unwrap();
            change(&mut socket, [&held4, &held6], [&wanted4, &wanted6]);
            Ok(())
        };
        TestRunner::new(config).run(&(pair(), pair()), case).unwrap();
    });
}

fn many(count: u32) -> [Subnets; 2] {
    let v4 = |number: u32| IpNetwork::new(std::net::Ipv4Addr::from(0x0a00_0000 + number * 256).into(), 24).unwrap();
    let v6 = |number: u32| {
        let bits = (0xfd00_u128 << 112) | (u128::from(number) << 64);
        IpNetwork::new(std::net::Ipv6Addr::from(bits).into(), 64).unwrap()
    };
    [(0..count).map(v4).collect(), (0..count).map(v6).collect()]
}

#[test]
fn two_thousand_subnets_and_the_one_around_them_replace_each_other() {
    within("two_thousand_subnets_and_the_one_around_them_replace_each_other", || {
        let mut socket = Nfnetlink::requests().unwrap();
        let narrow = many(2000);
        let around = |v4: &str, v6: &str| {
            [v4, v6].map(|wide| [wide.parse::<IpNetwork>().unwrap()].into_iter().collect::<Subnets>())
        };
        ensure(&mut socket, &table(&narrow[0], &narrow[1])).unwrap();
        for wide in [around("10.0.0.0/8", "fd00::/8"), around("0.0.0.0/0", "::/0")] {
            let steps = change(&mut socket, narrow.each_ref(), wide.each_ref());
            assert!(steps < 60, "{steps} steps");
            change(&mut socket, wide.each_ref(), narrow.each_ref());
        }
    });
}

/// A table of our name whose set takes no more than ten elements: of the right shape, and in place nothing more goes in.
fn with_little_room(socket: &mut Nfnetlink) {
    let empty = table(&Subnets::default(), &Subnets::default());
    let mut set = table::new_set(&empty, &empty.sets[0], 1);
    assert_eq!(set.kind, NEW_SET);
    // NFTA_SET_DESC 9 {NFTA_SET_DESC_SIZE 1}.
    set.attributes.push(Attribute::nested(9, &[Attribute::be32(1, 10)]));
    let first = table::new_table(&empty);
    assert_eq!(first.kind, NEW_TABLE);
    socket.transaction(vec![first, set]).unwrap();
}

#[test]
fn a_change_that_the_kernel_refuses_in_place_is_made_another_way() {
    within("a_change_that_the_kernel_refuses_in_place_is_made_another_way", || {
        let mut socket = Nfnetlink::requests().unwrap();
        with_little_room(&mut socket);
        let [v4, v6] = many(2000);
        let wanted = table(&v4, &v6);
        let in_place = plan(&wanted, observe(&mut socket, wanted.family, wanted.name).unwrap().as_ref());
        assert!(!in_place.whole);
        assert!(matches!(apply(&mut socket, &in_place), Err(Error::Refused { .. })), "there is no room in place");
        assert_eq!(held(&mut socket)[1], Ranges::of(v6.iter()), "what is refused stops nothing else");
        assert!(ensure(&mut socket, &wanted).unwrap());
        assert!(is_in_place(&mut socket, &wanted).unwrap());
        assert!(!ensure(&mut socket, &wanted).unwrap(), "nothing is left to change");
    });
}

#[test]
fn refusals_of_both_ways_are_named_and_it_is_tried_again() {
    within("refusals_of_both_ways_are_named_and_it_is_tried_again", || {
        let (mut owner, mut socket) = (Nfnetlink::requests().unwrap(), Nfnetlink::requests().unwrap());
        let [v4, v6] = many(20);
        let wanted = table(&v4, &v6);
        // NFTA_TABLE_FLAGS 2: NFT_TABLE_F_OWNER 2. Nobody but its owner changes it, and it goes with the owner.
        let Message { family, kind, attributes: name } = table::new_table(&wanted);
        let owned = [name, vec![Attribute::be32(2, 2)]].concat();
        owner.transaction(vec![Message { family, kind, attributes: owned }]).unwrap();
        let error = ensure(&mut socket, &wanted).unwrap_err().to_string();
        assert!(error.starts_with("change the rules in place: ") && error.contains("; make them again: "), "{error}");
        drop(owner);
        assert!(ensure(&mut socket, &wanted).unwrap(), "it is tried again, from what is there then");
        assert!(is_in_place(&mut socket, &wanted).unwrap());
    });
}

#[test]
fn a_table_of_ten_thousand_subnets_is_made_in_one_transaction_or_in_parts_but_made() {
    within("a_table_of_ten_thousand_subnets_is_made_in_one_transaction_or_in_parts_but_made", || {
        let mut socket = Nfnetlink::requests().unwrap();
        let [v4, v6] = many(10_000);
        let wanted = table(&v4, &v6);
        assert!(ensure(&mut socket, &wanted).unwrap());
        assert!(is_in_place(&mut socket, &wanted).unwrap());
    });
}

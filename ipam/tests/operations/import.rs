//! Laws of taking over host-local's leases.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use store::testing::Fault;

const V4: &[&[&str]] = &[&["10.0.0.0/28"]];
const DUAL: &[&[&str]] = &[&["10.0.0.0/28"], &["2001:db8::/124"]];

fn refused(imported: &Imported) -> Vec<String> {
    imported.refused.iter().map(ToString::to_string).collect()
}

fn held(leases: &[Lease]) -> Vec<String> {
    leases
        .iter()
        .map(|lease| format!("{} {} {}", lease.address, lease.owner.container_id, lease.owner.ifname))
        .collect()
}

#[test]
fn every_form_that_host_local_wrote_is_read() {
    let node = Node::new();
    let files = [
        ("10.0.0.2", "c1\r\neth0"),
        ("10.0.0.3", "c2\nnet1\n"),
        ("10.0.0.4", " c3 \r\n"),
        ("10.0.0.5", "c4\r\neth0\r\n\r\n"),
        ("2001:db8::2", "c1\r\neth0"),
        ("2001_db8__3", "c5\r\neth0"),
        ("lock", ""),
        ("last_reserved_ip.0", "10.0.0.5\n"),
        ("last_reserved_ip", "10.0.0.4"),
    ];
    let imported = node.import(&want(DUAL), &files).unwrap();
    let all = [
        "10.0.0.2/28 c1 eth0",
        "10.0.0.3/28 c2 net1",
        "10.0.0.4/28 c3 eth0",
        "10.0.0.5/28 c4 eth0",
        "2001:db8::2/124 c1 eth0",
        "2001:db8::3/124 c5 eth0",
    ];
    assert_eq!((held(&imported.leases), refused(&imported)), (all.map(str::to_owned).to_vec(), vec![]));
    assert_eq!(imported.leases[0].gateway, Some(ip("10.0.0.1")));
    assert_eq!(held(&node.audit().leases), all);
    assert_eq!(node.owned(&owner(1)).unwrap().len(), 2);
}

#[test]
fn what_is_no_lease_is_left_alone_and_named() {
    let node = Node::new();
    let long = format!("{}\r\neth0", "c".repeat(500));
    let files = [
        ("10.0.0.1", "c1\r\neth0"),
        ("10.0.0.15", "c1\r\neth0"),
        ("10.0.0.16", "c1\r\neth0"),
        ("10.0.0.2", ""),
        ("10.0.0.3", "\0\u{1}rubbish"),
        ("10.0.0.4", "c1\r\neth0\r\nmore"),
        ("10.0.0.5", "c1\r\nan interface"),
        ("10.0.0.6", &long),
        ("10.0.0.7", "c7\r\neth0"),
        ("10.0.0.8.old", "c1\r\neth0"),
        ("README", "of somebody"),
        ("last_reserved_ip.0", ""),
        ("last_reserved_ip.1", "10.9.9.9"),
        ("last_reserved_ip.2", "nowhere"),
        ("last_reserved_ip.bak", "10.0.0.7"),
    ];
    let imported = node.import(&want(V4), &files).unwrap();
    assert_eq!(held(&imported.leases), ["10.0.0.7/28 c7 eth0"]);
    assert_eq!(
        refused(&imported),
        [
            "10.0.0.1: 10.0.0.1 is a gateway, network or broadcast address of the configured ranges",
            "10.0.0.15: 10.0.0.15 is in none of the configured ranges",
            "10.0.0.16: 10.0.0.16 is in none of the configured ranges",
            "10.0.0.2: it is empty (was host-local killed while it wrote it?)",
            "10.0.0.3: it names no container and interface",
            "10.0.0.4: it names no container and interface",
            "10.0.0.5: it names no container and interface",
            "10.0.0.6: its container id is 139 bytes too long to be recorded",
            "10.0.0.8.old: its name is no address",
            "README: its name is no address",
            "last_reserved_ip.0: it is empty (was host-local killed while it wrote it?)",
            "last_reserved_ip.1: 10.9.9.9 is in none of the configured ranges",
            "last_reserved_ip.2: it holds no address",
            "last_reserved_ip.bak: its name is no address",
        ]
    );
}

#[test]
fn nothing_to_take_over_makes_no_store() {
    let node = Node::new();
    let imported = node.import(&want(V4), &[("lock", ""), ("10.0.0.2", ""), ("10.9.9.9", "c1")]).unwrap();
    assert_eq!((imported.leases.len(), imported.refused.len()), (0, 2));
    assert!(node.memory.bytes().is_none());
}

#[test]
fn no_address_is_taken_from_an_owner_of_ours() {
    let node = Node::new();
    assert_eq!(node.address(&want(V4), 1), "10.0.0.2");
    let files = [("10.0.0.2", "c2\r\neth0"), ("10.0.0.3", "c2\r\neth0")];
    let imported = node.import(&want(V4), &files).unwrap();
    assert_eq!(held(&imported.leases), ["10.0.0.3/28 c2 eth0"]);
    assert_eq!(refused(&imported), ["10.0.0.2: 10.0.0.2 is leased to c1 eth0 already"]);
    // Two files that mean one address: the first counts, whichever owner the second names.
    let files = [("2001:db8::5", "c3\r\neth0"), ("2001:DB8::5", "c4\r\neth0")];
    let imported = node.import(&want(DUAL), &files).unwrap();
    assert_eq!(held(&imported.leases), ["2001:db8::5/124 c4 eth0"]);
    assert_eq!(refused(&imported), ["2001:db8::5: 2001:db8::5 is leased to c4 eth0 already"]);
}

#[test]
fn twice_is_once() {
    let node = Node::new();
    let files = [("10.0.0.2", "c1\r\neth0"), ("10.0.0.5", "c2\r\neth0"), ("last_reserved_ip.0", "10.0.0.5")];
    let first = node.import(&want(V4), &files).unwrap();
    let bytes = node.memory.bytes();
    let second = node.import(&want(V4), &files).unwrap();
    assert_eq!((held(&second.leases), held(&second.known)), (vec![], held(&first.leases)));
    assert_eq!(node.memory.bytes(), bytes, "a second import wrote to the store");
}

/// More than one commit holds: whole or absent all the same.
#[test]
fn a_kill_at_any_operation_imports_all_or_nothing() {
    let subnet = want(&[&["10.0.0.0/24"]]);
    let files: Vec<_> = (2..150).map(|low| (format!("10.0.0.{low}"), format!("c{low}\r\neth0"))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let before = Node::new();
    before.address(&subnet, 1000);
    before.del(&owner(1000)).unwrap();
    let mut points = 0;
    for operation in 1.. {
        let node = before.copy();
        node.memory.plan(operation, Fault::Kill(512));
        let result = node.import(&subnet, &files);
        if !node.memory.was_hit() {
            assert_eq!(result.unwrap().leases.len(), 148);
            break;
        }
        node.memory.restart();
        let leases = node.audit().leases.len();
        assert!(leases == 0 || leases == 148, "{leases} leases after a kill at {operation}");
        points += 1;
    }
    assert!(points > 150, "{points}");
}

/// What host-local gave and took back a moment ago must not be the first that is given again.
#[test]
fn the_walk_through_a_range_goes_on_behind_the_last_address() {
    let node = Node::new();
    let files = [("10.0.0.3", "c1\r\neth0"), ("10.0.0.9", "c2\r\neth0"), ("last_reserved_ip.0", "10.0.0.8")];
    node.import(&want(V4), &files).unwrap();
    let next: Vec<_> = (10..20).map(|number| node.address(&want(V4), number)).collect();
    let behind = ["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14"];
    let rested = ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"];
    assert_eq!(next, [behind, rested].concat());
    assert!(node.audit().leases.iter().filter(|lease| lease.reused_early).count() == 5);
    assert_eq!(node.address(&want(&[&["10.0.0.0/28"]]), 30), "10.0.0.8");
    assert!(matches!(node.add(&want(V4), &owner(31)), Err(Error::Exhausted { .. })));
}

/// A /64 that was walked through far has no line for every address behind it.
#[test]
fn a_far_walk_is_not_written_down() {
    let node = Node::new();
    let wide = want(&[&["2001:db8::/64"]]);
    let files = [("2001:db8::9:9", "c1\r\neth0"), ("last_reserved_ip.0", "2001:db8::9:9")];
    node.import(&wide, &files).unwrap();
    assert_eq!(node.address(&wide, 2), "2001:db8::2");
    assert_eq!(node.audit().released, [] as [IpAddr; 0]);
}

#[test]
fn what_only_an_earlier_boot_holds_is_no_obstacle() {
    let mut node = Node::new();
    node.address(&want(V4), 1);
    node.reboot();
    node.sees(&owner(1), Presence::Gone, Presence::Gone);
    let imported = node.import(&want(V4), &[("10.0.0.2", "c2\r\neth0")]).unwrap();
    assert_eq!((held(&imported.leases), refused(&imported)), (vec!["10.0.0.2/28 c2 eth0".to_owned()], vec![]));
}

#[test]
fn an_imported_lease_is_released_and_collected_like_any_other() {
    let node = Node::new();
    node.import(&want(DUAL), &[("10.0.0.2", "c1\r\neth0"), ("2001:db8::2", "c1\r\neth0"), ("10.0.0.3", "c2")]).unwrap();
    assert!(matches!(node.add(&want(DUAL), &owner(2)), Err(Error::Duplicate { .. })));
    assert_eq!(node.del(&owner(1)).unwrap().len(), 2);
    assert_eq!(node.gc(&[]).unwrap().len(), 1);
    assert_eq!(node.audit().leases, []);
}

/// The index and the pool table are as large as what comes in needs.
#[test]
fn a_store_grows_for_what_comes_in() {
    let node = Node::new();
    node.address(&want(&[&["10.1.0.0/28"]]), 0);
    let subnets: Vec<String> = (0..40).map(|third| format!("10.2.{third}.0/28")).collect();
    let set = set(&subnets.iter().map(String::as_str).collect::<Vec<_>>());
    let want = Want::new(&[set], &[], COOLDOWN, Require::Both).unwrap();
    let name = |number: usize| format!("10.2.{}.{}", number / 12, number % 12 + 2);
    let files: Vec<_> = (0..480).map(|number| (name(number), format!("c{}\r\neth0", number + 1))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(node.import(&want, &files).unwrap().leases.len(), 480);
    assert_eq!(node.audit().leases.len(), 481);
    assert_eq!(node.address(&want, 500), "10.2.0.14");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the store holds and whatever host-local kept: nothing of ours changes hands, everything of host-local's
    /// is in the store or refused, every line is in step, and doing it again finds nothing to do.
    #[test]
    fn an_import_adds_and_never_takes(
        ours in proptest::collection::vec((0..8usize, any::<bool>()), 0..24),
        theirs in proptest::collection::btree_map(0..16u8, 0..12usize, 0..12),
        last in proptest::option::of(0..16u8),
    ) {
        let node = Node::new();
        for (number, add) in ours {
            let _ = if add { node.add(&want(V4), &owner(number)) } else { node.del(&owner(number)) };
        }
        let by_address = |leases: &[Lease]| -> BTreeMap<IpAddr, Attachment> {
            leases.iter().map(|lease| (lease.address.ip(), lease.owner.clone())).collect()
        };
        let before = by_address(&node.audit().leases);
        let mut files: Vec<(String, String)> =
            theirs.iter().map(|(low, number)| (format!("10.0.0.{low}"), format!("c{number}\r\neth0"))).collect();
        files.extend(last.map(|low| ("last_reserved_ip.0".to_owned(), format!("10.0.0.{low}"))));
        let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let imported = node.import(&want(V4), &files).unwrap();
        let after = by_address(&node.audit().leases);
        let added = by_address(&imported.leases);
        prop_assert_eq!(added.len() + before.len(), after.len());
        for (address, owner) in before.iter().chain(&added) {
            prop_assert_eq!(after.get(address), Some(owner));
        }
        for (low, number) in &theirs {
            let address = ip(&format!("10.0.0.{low}"));
            let refused = imported.refused.iter().any(|refused| refused.file.to_str() == Some(&address.to_string()));
            prop_assert_eq!(after.get(&address) == Some(&owner(*number)), !refused, "{}", address);
        }
        let bytes = node.memory.bytes();
        prop_assert_eq!(node.import(&want(V4), &files).unwrap().leases.len(), 0);
        prop_assert_eq!(node.memory.bytes(), bytes);
    }
}

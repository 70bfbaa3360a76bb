//! One law each, named as a sentence.

use std::time::Duration;

use super::*;
use ipam::on::are_held;
use ipam::on::remove;

const V4: &[&[&str]] = &[&["10.1.2.0/24"]];
const DUAL: &[&[&str]] = &[&["10.1.2.0/24"], &["2001:db8:1::/64"]];

/// H-067, H-068.
#[test]
fn an_attachment_gets_one_address_of_each_set_and_gives_back_all() {
    let node = Node::new();
    let leases = node.add(&want(DUAL), &owner(1)).unwrap();
    let given: Vec<_> = leases.iter().map(|lease| (lease.address.to_string(), lease.gateway.unwrap())).collect();
    assert_eq!(given[0], ("10.1.2.2/24".to_owned(), ip("10.1.2.1")));
    assert_eq!(given[1], ("2001:db8:1::2/64".to_owned(), ip("2001:db8:1::1")));
    assert_eq!(node.owned(&owner(1)).unwrap(), leases);
    let second = Attachment { ifname: Ifname::parse("net1").unwrap(), ..owner(1) };
    assert_eq!(node.add(&want(DUAL), &second).unwrap()[0].address.ip(), ip("10.1.2.3"), "E-25");
    assert_eq!(node.del(&owner(1)).unwrap().len(), 2);
    assert_eq!(node.owned(&owner(1)).unwrap(), []);
    assert_eq!(node.owned(&second).unwrap().len(), 2);
    node.audit();
}

/// H-069, E-24, D-15.
#[test]
fn a_second_add_of_a_living_attachment_is_refused_and_changes_nothing() {
    let node = Node::new();
    node.add(&want(DUAL), &owner(1)).unwrap();
    let before = node.memory.bytes();
    let error = node.add(&want(DUAL), &owner(1)).unwrap_err().to_string();
    assert!(error.ends_with("has been allocated to c1, duplicate allocation is not allowed"), "{error}");
    node.sees(&owner(1), Presence::Unknown, Presence::Unknown);
    assert!(node.add(&want(DUAL), &owner(1)).is_err(), "unknown is not dead");
    assert_eq!(node.memory.bytes(), before);
    assert_eq!(node.address(&want(DUAL), 2), "10.1.2.3 2001:db8:1::3");
}

/// E-27: a killed ADD that is tried again.
#[test]
fn an_add_whose_link_was_never_made_is_completed_with_the_same_addresses() {
    let mut node = Node::new();
    let first = node.address(&want(DUAL), 1);
    node.sees(&owner(1), Presence::Gone, Presence::Present);
    node.pass(Duration::from_secs(5));
    assert_eq!(node.address(&want(DUAL), 1), first);
    assert_eq!(node.owned(&owner(1)).unwrap()[0].since, node.now);
    // With another config: what still fits is kept, the rest goes back.
    let other = want(&[&["10.9.0.0/24"], &["2001:db8:1::/64"]]);
    assert_eq!(node.address(&other, 1), "10.9.0.2 2001:db8:1::2");
    assert_eq!(node.audit().released, [ip("10.1.2.2")]);
}

/// H-086, H-089, E-29, D-16.
#[test]
fn a_small_range_gives_all_but_network_gateway_and_broadcast_then_says_so() {
    let node = Node::new();
    let want = want(&[&["192.168.1.0/29"]]);
    let given: Vec<_> = (0..5).map(|number| node.address(&want, number)).collect();
    assert_eq!(given, ["192.168.1.2", "192.168.1.3", "192.168.1.4", "192.168.1.5", "192.168.1.6"]);
    node.sees(&owner(0), Presence::Unknown, Presence::Unknown);
    let error = cni::Error::from(node.add(&want, &owner(9)).unwrap_err());
    assert_eq!(error.msg, "no IP addresses available in range set: 192.168.1.1-192.168.1.6");
    assert_eq!(error.details, "used 4, cooling 0, unprovable 1");
    node.del(&owner(3)).unwrap();
    assert_eq!(node.address(&want, 9), "192.168.1.5");
}

/// H-087: round robin, and reuse of the last released only when all others are taken.
#[test]
fn addresses_go_round_and_the_oldest_released_comes_first() {
    let node = Node::new();
    let want = want(&[&["10.0.0.0/29"]]);
    for round in [2, 3, 4, 5, 6, 2, 3] {
        assert_eq!(node.address(&want, 1), format!("10.0.0.{round}"));
        node.del(&owner(1)).unwrap();
    }
}

/// H-088, E-30.
#[test]
fn ranges_of_a_set_are_used_in_order_and_sets_all_or_none() {
    let node = Node::new();
    let two = want(&[&["10.0.0.0/30", "10.0.1.0/30"]]);
    assert_eq!([node.address(&two, 1), node.address(&two, 2)], ["10.0.0.2", "10.0.1.2"]);
    assert!(node.add(&two, &owner(3)).is_err());
    let sets: &[&[&str]] = &[&["10.2.0.0/24"], &["10.0.0.0/30"]];
    assert!(node.add(&want(sets), &owner(3)).is_err());
    assert_eq!(node.owned(&owner(3)).unwrap(), []);
    let prefer = preferring(sets);
    assert_eq!(node.address(&prefer, 3), "10.2.0.2");
    let error = node.add(&preferring(&[&["10.0.0.0/30"]]), &owner(4)).unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }), "{error}");
}

/// H-074 to H-077, H-080 to H-082, E-31.
#[test]
fn an_address_that_is_asked_for_is_given_or_refused_by_name() {
    let node = Node::new();
    let ask = |addresses: &[&str]| {
        let addresses: Vec<_> = addresses.iter().map(|text| ip(text)).collect();
        asking(DUAL, &addresses).map_err(|error| error.to_string())
    };
    assert_eq!(node.address(&ask(&["2001:db8:1::77", "10.1.2.88"]).unwrap(), 1), "10.1.2.88 2001:db8:1::77");
    let taken = node.add(&ask(&["10.1.2.88"]).unwrap(), &owner(2)).unwrap_err();
    assert_eq!(taken.to_string(), "requested IP address 10.1.2.88 is not available in range set 10.1.2.1-10.1.2.254");
    assert_eq!(node.owned(&owner(2)).unwrap(), []);
    assert_eq!(ask(&["10.1.2.1"]).unwrap_err(), "requested ip 10.1.2.1 is subnet's gateway");
    let all = "failed to allocate all requested IPs: ";
    assert_eq!(ask(&["10.7.0.1"]).unwrap_err(), format!("{all}10.7.0.1"));
    assert_eq!(ask(&["10.1.2.5", "10.1.2.6"]).unwrap_err(), format!("{all}10.1.2.6"));
    assert_eq!(ask(&["10.1.2.255"]).unwrap_err(), format!("{all}10.1.2.255"));
    // Released, it can be asked for again at once; the cursor steps over it.
    node.del(&owner(1)).unwrap();
    let again = node.add(&ask(&["10.1.2.88"]).unwrap(), &owner(3)).unwrap();
    assert!(again[0].reused_early);
    node.audit();
}

#[test]
fn the_cooldown_is_soft_and_early_reuse_is_reported() {
    let mut node = Node::new();
    let want = want(&[&["10.0.0.0/30"]]);
    node.address(&want, 1);
    node.del(&owner(1)).unwrap();
    node.pass(COOLDOWN - Duration::from_millis(1));
    assert!(node.add(&want, &owner(2)).unwrap()[0].reused_early);
    node.del(&owner(2)).unwrap();
    node.pass(COOLDOWN);
    assert!(!node.add(&want, &owner(3)).unwrap()[0].reused_early);
}

#[test]
fn dead_leases_are_taken_back_before_a_pool_is_called_exhausted() {
    let node = Node::new();
    let want = want(&[&["10.0.0.0/29"]]);
    (0..5).for_each(|number| drop(node.address(&want, number)));
    node.sees(&owner(0), Presence::Gone, Presence::Present);
    node.sees(&owner(1), Presence::Present, Presence::Gone);
    node.sees(&owner(2), Presence::Unknown, Presence::Gone);
    assert!(node.add(&want, &owner(7)).is_err(), "one proof alone is not enough");
    node.sees(&owner(3), Presence::Gone, Presence::Gone);
    assert_eq!(node.address(&want, 7), "10.0.0.5");
    assert_eq!(node.owned(&owner(3)).unwrap(), []);
    node.sees(&owner(4), Presence::Gone, Presence::Gone);
    assert_eq!(node.scavenge().unwrap(), Scavenged { removed: 1, alive: 3, unknown: 1 });
    node.audit();
}

/// E-41.
#[test]
fn the_first_add_after_a_reboot_voids_what_is_provably_gone() {
    let mut node = Node::new();
    let want = want(&[&["10.0.0.0/28"]]);
    (0..3).for_each(|number| drop(node.address(&want, number)));
    node.reboot();
    node.sees(&owner(0), Presence::Unknown, Presence::Gone);
    node.sees(&owner(1), Presence::Gone, Presence::Unknown);
    assert_eq!(node.address(&want, 7), "10.0.0.5");
    let left: Vec<_> = node.audit().leases.iter().map(|lease| lease.owner.container_id.to_string()).collect();
    assert_eq!(left, ["c1", "c2", "c7"]);
    node.sees(&owner(2), Presence::Gone, Presence::Gone);
    node.address(&want, 8);
    assert_eq!(node.owned(&owner(2)).unwrap().len(), 1, "judged once for each boot");
}

/// H-103, H-104, E-70, E-72.
#[test]
fn gc_takes_back_all_that_is_not_listed_and_older_than_itself() {
    let mut node = Node::new();
    let want = want(DUAL);
    (0..4).for_each(|number| drop(node.address(&want, number)));
    let removed = node.gc(&[owner(1), owner(2)]).unwrap();
    assert_eq!(removed.len(), 4);
    assert_eq!(node.gc(&[owner(1), owner(2)]).unwrap(), []);
    node.pass(Duration::from_secs(1));
    node.address(&want, 5);
    node.now.millis -= 500;
    assert_eq!(node.gc(&[]).unwrap().len(), 4, "what was given after GC began is not its business");
    assert_eq!(node.owned(&owner(5)).unwrap().len(), 2);
}

/// H-070, E-54, E-59, E-60, I5.
#[test]
fn del_needs_neither_config_nor_lease_nor_store() {
    let node = Node::new();
    assert_eq!(node.del(&owner(1)).unwrap(), []);
    assert_eq!(node.memory.bytes(), None);
    node.address(&want(V4), 1);
    node.address(&want(&[&["10.9.0.0/16"]]), 2);
    assert_eq!(node.del(&owner(1)).unwrap().len(), 1);
    let before = node.memory.bytes();
    assert_eq!(node.del(&owner(1)).unwrap(), []);
    assert_eq!(node.memory.bytes(), before, "nothing to release, nothing written");
}

/// Design: an address has one owner, whatever ranges say.
#[test]
fn ranges_that_overlap_or_change_never_give_an_address_twice() {
    let node = Node::new();
    let narrow = want(&[&["10.0.0.0/29"]]);
    let wide = want(&[&["10.0.0.0/28"]]);
    assert_eq!([node.address(&narrow, 1), node.address(&narrow, 2)], ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(node.address(&wide, 3), "10.0.0.4");
    assert_eq!(node.address(&narrow, 4), "10.0.0.5");
    node.del(&owner(1)).unwrap();
    // 10.0.0.2 waits in the narrow pool's queue and is brought home once the wide one has nothing else.
    let rest: Vec<_> = (10..20).map(|number| node.address(&wide, number)).collect();
    assert_eq!(rest.last().unwrap(), "10.0.0.2");
    assert!(node.add(&wide, &owner(30)).is_err());
    assert_eq!(node.audit().leases.len(), 13);
}

#[test]
fn a_gateway_that_moved_is_not_given_though_it_was_once() {
    let node = Node::new();
    let moved = |gateway| {
        let range = Range::new("10.0.0.0/29".parse().unwrap(), None, None, Some(ip(gateway))).unwrap();
        Want::new(&[RangeSet::new(vec![range]).unwrap()], &[], COOLDOWN, Require::Both).unwrap()
    };
    (1..=4).for_each(|number| drop(node.address(&moved("10.0.0.6"), number)));
    (1..=4).for_each(|number| drop(node.del(&owner(number)).unwrap()));
    let given: Vec<_> = (1..=4).map(|number| node.address(&moved("10.0.0.2"), number)).collect();
    assert_eq!(given, ["10.0.0.6", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
    assert_eq!(node.audit().released, [ip("10.0.0.2")]);
}

#[test]
fn pools_of_links_and_hosts_give_every_address() {
    let node = Node::new();
    let link = want(&[&["192.0.2.0/31"], &["2001:db8::/127"]]);
    assert_eq!(node.address(&link, 1), "192.0.2.0 2001:db8::");
    assert_eq!(node.address(&link, 2), "192.0.2.1 2001:db8::1");
    let host = want(&[&["192.0.2.9/32"], &["2001:db8::9/128"]]);
    assert_eq!(node.address(&host, 3), "192.0.2.9 2001:db8::9");
    assert!(node.add(&host, &owner(4)).is_err());
}

/// The index grows as leases do, and pools that nobody uses make room.
#[test]
fn a_store_grows_and_forgets_pools_without_losing_a_lease() {
    let mut node = Node::new();
    let large = want(&[&["10.0.0.0/22"]]);
    let small = want(&[&["10.9.0.0/30"]]);
    node.address(&small, 9999);
    for number in 0..300 {
        node.address(&large, number);
    }
    node.audit();
    for subnet in 0..80 {
        let subnet = format!("10.8.{subnet}.0/24");
        let other = want(&[&[subnet.as_str()]]);
        node.address(&other, 5000);
        node.del(&owner(5000)).unwrap();
        node.pass(Duration::from_secs(1));
    }
    for (subnet, number) in (0..70).zip(6000..) {
        let subnet = format!("10.7.{subnet}.0/24");
        node.address(&want(&[&[subnet.as_str()]]), number);
    }
    let audit = node.audit();
    assert_eq!(audit.leases.len(), 371);
    assert!((0..300).all(|number| node.owned(&owner(number)).unwrap().len() == 1));
}

/// Undo by value: the loser of two ADDs of one attachment gives back what is its own, and nothing of the winner's.
#[test]
fn a_lease_is_given_back_by_value_and_never_for_its_owner() {
    let mut node = Node::new();
    let want = want(&[&["10.0.0.0/30"], &["2001:db8::/126"]]);
    let back = |node: &Node, leases: &[Lease]| remove(&node.memory, leases, node.now, &mut |_| {});
    let first = node.add(&want, &owner(1)).unwrap();
    assert!(are_held(&node.memory, &owner(1), &first).unwrap());
    // Completed by a retry at the very same moment.
    node.sees(&owner(1), Presence::Gone, Presence::Present);
    let second = node.add(&want, &owner(1)).unwrap();
    assert!(first.iter().zip(&second).all(|(one, other)| one.address == other.address && !one.is_same(other)));
    assert!(!are_held(&node.memory, &owner(1), &first).unwrap());
    back(&node, &first).unwrap();
    assert_eq!(node.owned(&owner(1)).unwrap(), second);
    // Taken back and given again, to the same attachment, at the same moment, or by a clock that was read earlier.
    node.del(&owner(1)).unwrap();
    assert!(!are_held(&node.memory, &owner(1), &second).unwrap());
    node.now.millis -= 7;
    let third = node.add(&want, &owner(1)).unwrap();
    back(&node, &second).unwrap();
    assert_eq!(node.owned(&owner(1)).unwrap(), third);
    // Given to somebody else.
    node.del(&owner(1)).unwrap();
    let of_another = node.add(&want, &owner(2)).unwrap();
    back(&node, &third).unwrap();
    assert_eq!(node.owned(&owner(2)).unwrap(), of_another);
    back(&node, &of_another).unwrap();
    back(&node, &of_another).unwrap();
    assert_eq!(node.audit().leases, []);
    node.audit();
}

/// E-03 of identity, trap 15.
#[test]
fn what_does_not_fit_a_line_is_refused_and_a_pods_name_is_cut() {
    let node = Node::new();
    let named = |length: usize, pod: usize| {
        let container_id = ContainerId::parse(&"c".repeat(length)).unwrap();
        let owner = Attachment { container_id, ..owner(0) };
        let proof = Proof { netns: "/run/netns/x".into(), pod: Some("p".repeat(pod)), ..Proof::default() };
        let want = want(DUAL);
        let request = Request { want: &want, owner: &owner, proof: &proof, network: "test", now: node.now };
        request.give(&node.memory, &node.fate)
    };
    let long = named(255, 400).unwrap();
    assert_eq!(long.len(), 2);
    let kept = node.owned(&long[0].owner).unwrap();
    assert!(kept != long && kept.iter().zip(&long).all(|(kept, long)| kept.is_same(long)), "{kept:?}");
    assert!(matches!(named(600, 0), Err(Error::Store(StoreError::DoesNotFit { .. }))));
    assert_eq!(node.audit().leases.len(), 2);
}

/// Trap 7: a full disk still gives what was released.
#[test]
fn a_full_disk_reuses_and_releases() {
    let node = Node::new();
    let want = want(V4);
    (0..40).for_each(|number| drop(node.address(&want, number)));
    node.del(&owner(7)).unwrap();
    // Fill the slots that were made in advance, then refuse to grow.
    let mut number = 100;
    let given = loop {
        let trial = node.copy();
        trial.memory.limit();
        match trial.add(&want, &owner(number)) {
            Ok(leases) if leases[0].reused_early => break leases,
            Ok(_) => drop(node.address(&want, number)),
            Err(error) => panic!("{error}"),
        }
        number += 1;
    };
    assert_eq!(given[0].address.ip(), ip("10.1.2.9"));
}

/// Finds everybody dead, and takes the lease back before the one who asked can.
struct Quicker<'a>(&'a Node);

impl Liveness for Quicker<'_> {
    fn netns(&self, _proof: &Proof, _same_boot: bool) -> Presence {
        Presence::Gone
    }

    fn host_link(&self, lease: &Lease) -> Presence {
        self.0.del(&lease.owner).unwrap();
        Presence::Gone
    }
}

#[test]
fn an_address_that_another_wins_back_first_is_given_all_the_same() {
    let (node, want) = (Node::new(), want(&[&["10.0.0.0/30"]]));
    let address = node.address(&want, 1);
    let (owner, proof) = (owner(2), Proof::default());
    let request = Request { want: &want, owner: &owner, proof: &proof, network: "test", now: node.now };
    let given = request.give(&node.memory, &Quicker(&node)).unwrap();
    assert_eq!(given[0].address.ip().to_string(), address);
}

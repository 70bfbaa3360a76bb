//! The reconciler against a kernel that keeps a routing table: restarts, deletions, odd lists, foreign routes.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink::{Family, FibEntry, KernelError, NODE_ROUTE, Onward, RouteKind, Scope};
use nix::errno::Errno;
use proptest::prelude::*;

use super::*;
use crate::here::Link;
use crate::kernel::Refusal;
use crate::kernel_event::KernelEvent;
use nodes::Node;

/// A routing table with owners, and the calls that were made to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    ours: Routes,
    foreign: BTreeMap<Key, &'static str>,
    bad: BTreeSet<Key>,
    /// Foreign routes by their destinations, each with the gateway.
    ways: BTreeMap<IpNetwork, IpAddr>,
    looks: usize,
    messages: usize,
    questions: usize,
}

impl Kernel for Table {
    fn here(&mut self) -> Result<Here, netlink::Error> {
        self.looks += 1;
        let eth0 = Link { name: "eth0".into(), up: true, carrier: [true; 2], mtu: 1500 };
        Ok(Here { links: [(2, eth0)].into(), addresses: [(2, "10.0.0.1/16".parse().unwrap())].into() })
    }

    fn routes(&mut self) -> Result<Routes, netlink::Error> {
        Ok(self.ours.clone())
    }

    fn entries(&mut self, addresses: &[IpAddr]) -> Result<Vec<Result<FibEntry, KernelError>>, netlink::Error> {
        self.questions += addresses.len();
        Ok(addresses.iter().map(|address| self.entry(*address)).collect())
    }

    fn change(&mut self, changes: &[Change]) -> Result<Vec<Result<(), Refusal>>, netlink::Error> {
        self.messages += changes.len();
        Ok(changes.iter().map(|change| self.change_one(change)).collect())
    }

    fn holders(&mut self, keys: &BTreeSet<Key>) -> Result<BTreeMap<Key, String>, netlink::Error> {
        let held = self.foreign.iter().filter(|(key, _)| keys.contains(key));
        Ok(held.map(|(key, text)| (*key, (*text).to_owned())).collect())
    }
}

impl Table {
    /// The longest prefix wins: of our routes, of the foreign ones, and eth0's 10.0.0.0/16.
    fn entry(&self, address: IpAddr) -> Result<FibEntry, KernelError> {
        let hop = |gateway| Onward::Hop { gateway, device: 2, onlink: false };
        let ours = self.ours.keys().map(|key| (key.destination, NODE_ROUTE, hop(None)));
        let foreign = self.ways.iter().map(|(to, router)| (*to, 4, hop(Some(*router))));
        let all = ours.chain(foreign).chain([("10.0.0.0/16".parse().unwrap(), 2, hop(None))]);
        let best = all.filter(|(to, ..)| to.contains(address)).max_by_key(|(to, ..)| to.prefix());
        let (to, protocol, onward) = best.ok_or(KernelError { errno: Errno::ENETUNREACH, text: String::new() })?;
        Ok(FibEntry {
            family: Family::V4,
            prefix: to.prefix(),
            kind: RouteKind::Unicast,
            table: 254,
            protocol,
            scope: Scope::Link,
            by_object: false,
            onward,
        })
    }

    fn change_one(&mut self, change: &Change) -> Result<(), Refusal> {
        let key = change.key();
        match *change {
            Change::Add(..) | Change::Replace(..) if self.bad.contains(&key) => {
                Err(Refusal::Other("network is unreachable (ENETUNREACH)".to_owned()))
            }
            Change::Add(..) if self.foreign.contains_key(&key) || self.ours.contains_key(&key) => Err(Refusal::Exists),
            Change::Add(_, target) | Change::Replace(_, target) => {
                self.ours.insert(key, target);
                Ok(())
            }
            Change::Remove(_) => self.ours.remove(&key).map(drop).ok_or(Refusal::Absent),
        }
    }
}

const HOLD: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings { me: "n1".into(), limits: Limits { share: 0.5, hold: HOLD }, by_routers: false }
}

fn node(i: u8) -> Node {
    Node::of(&format!("n{i}"), &[&format!("10.0.0.{i}")], &[&format!("10.244.{i}.0/24")])
}

fn nodes(which: impl IntoIterator<Item = u8>, taken: Instant) -> Snapshot {
    Snapshot::new(which.into_iter().map(node).collect(), taken)
}

fn peer(i: u8) -> Key {
    Key::peer(format!("10.244.{i}.0/24").parse().unwrap())
}

fn hop(i: u8) -> Target {
    Target::Hop { via: [10, 0, 0, i].into(), link: 2, onlink: false }
}

fn turn(reconciler: &mut Reconciler, table: &mut Table) -> Turn {
    reconciler.turn(table, &|_| false).unwrap()
}

/// A foreign route that came or went.
fn foreign(key: Key) -> KernelEvent {
    KernelEvent::Foreign { key: Some(key), destination: key.destination, table: 254 }
}

#[test]
fn apply_twice_is_once() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=4, Instant::now()));
    turn(&mut reconciler, &mut table);
    assert_eq!(table.messages, 4);
    turn(&mut reconciler, &mut table);
    reconciler.look_again();
    turn(&mut reconciler, &mut table);
    assert_eq!(table.messages, 4);
}

#[test]
fn one_changed_node_is_one_message_and_no_look() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=100, Instant::now()));
    turn(&mut reconciler, &mut table);
    let before = table.clone();
    let mut changed: Vec<Node> = (1..=100).map(node).collect();
    changed[49] = Node::of("n50", &["10.0.0.200"], &["10.244.50.0/24"]);
    reconciler.learn(Snapshot::new(changed, Instant::now()));
    turn(&mut reconciler, &mut table);
    assert_eq!((table.messages, table.looks), (before.messages + 1, before.looks));
    assert_eq!(table.questions, before.questions + 1, "of the new address alone");
    assert_eq!(table.ours[&peer(50)], hop(200));
}

#[test]
fn what_died_while_the_agent_was_down_is_swept_at_its_start() {
    let mut table = Table::default();
    turn(&mut Reconciler::new(settings(), nodes(1..=5, Instant::now())), &mut table);
    turn(&mut Reconciler::new(settings(), nodes(1..=4, Instant::now())), &mut table);
    assert_eq!(table.ours.len(), 4);
    assert!(!table.ours.contains_key(&peer(5)));
}

#[test]
fn a_deleted_route_comes_back_and_a_foreign_one_stays() {
    let mut table = Table::default();
    table.foreign.insert(peer(3), "10.244.3.0/24 via 10.0.0.77 dev 2 proto static");
    let mut reconciler = Reconciler::new(settings(), nodes(1..=4, Instant::now()));
    let first = turn(&mut reconciler, &mut table);
    assert!(matches!(&first.applied.refused[..], [(_, Trouble::HeldByForeign(text))] if text.contains("proto static")));
    table.ours.remove(&peer(2));
    assert_eq!(reconciler.take(KernelEvent::Lost(peer(2))), Asked::Heal);
    let messages = table.messages;
    reconciler.heal(&mut table).unwrap();
    assert_eq!(table.ours[&peer(2)], hop(2));
    assert_eq!(table.messages, messages + 1, "what was refused is not asked for again and again");
    table.foreign.clear();
    assert_eq!(reconciler.take(foreign(peer(3))), Asked::Turn);
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours[&peer(3)], hop(3), "once the foreign route is gone, ours is in");
}

#[test]
fn a_foreign_route_put_in_the_place_of_ours_is_noticed_and_named() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=4, Instant::now()));
    turn(&mut reconciler, &mut table);
    // `ip route replace` is one event, of the new route alone.
    table.ours.remove(&peer(3));
    table.foreign.insert(peer(3), "10.244.3.0/24 via 10.0.0.77 dev 2 proto static");
    assert_eq!(reconciler.take(foreign(peer(3))), Asked::Turn);
    turn(&mut reconciler, &mut table);
    assert!(matches!(reconciler.trouble(&peer(3)), Some(Trouble::HeldByForeign(text)) if text.contains("static")));
}

#[test]
fn one_bad_route_never_stops_the_others() {
    let mut table = Table { bad: [peer(2)].into(), ..Table::default() };
    let mut reconciler = Reconciler::new(settings(), nodes(1..=4, Instant::now()));
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours.len(), 3);
    assert!(matches!(reconciler.trouble(&peer(2)), Some(Trouble::Refused(_))));
}

#[test]
fn a_route_that_leads_elsewhere_now_goes_where_the_kernel_takes_nothing_in_its_place() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=4, Instant::now()));
    turn(&mut reconciler, &mut table);
    let mut moved: Vec<Node> = (1..=4).map(node).collect();
    moved[1] = Node::of("n2", &["10.0.0.200"], &["10.244.2.0/24"]);
    table.bad.insert(peer(2));
    reconciler.learn(Snapshot::new(moved, Instant::now()));
    turn(&mut reconciler, &mut table);
    assert!(!table.ours.contains_key(&peer(2)), "it would lead to the former address");
    assert!(matches!(reconciler.trouble(&peer(2)), Some(Trouble::Refused(_))));
    let messages = table.messages;
    turn(&mut reconciler, &mut table);
    assert_eq!(table.messages, messages, "nor is it asked for again as long as nothing changes");
}

#[test]
fn a_list_that_withdraws_most_is_not_in_force_until_a_later_one_confirms_it() {
    let start = Instant::now();
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=5, start));
    turn(&mut reconciler, &mut table);
    let all = table.ours.clone();
    for list in [nodes([], start), nodes([1], start), nodes([1, 2], start)] {
        reconciler.learn(list);
        turn(&mut reconciler, &mut table);
        assert_eq!(table.ours, all, "held");
        assert!(reconciler.verdicts().iter().any(|verdict| &*verdict.node == "n5"), "the last list stays in force");
    }
    table.ours.remove(&peer(4));
    reconciler.take(KernelEvent::Lost(peer(4)));
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours, all, "a route is healed meanwhile");
    reconciler.learn(nodes([1, 2], start + HOLD));
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours.len(), 2);
    assert_eq!(reconciler.guard(), Guard::Open);
}

#[test]
fn an_operator_lets_a_held_withdrawal_go() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=3, Instant::now()));
    turn(&mut reconciler, &mut table);
    reconciler.learn(nodes([1], Instant::now()));
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours.len(), 3);
    assert!(reconciler.release());
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours.len(), 1);
}

#[test]
fn the_former_cidr_stays_unreachable_while_it_has_leases() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=2, Instant::now()));
    turn(&mut reconciler, &mut table);
    let me = Node::of("n1", &["10.0.0.1"], &["10.244.9.0/24"]);
    reconciler.learn(Snapshot::new(vec![me, node(2)], Instant::now()));
    let own = |i: u8| Key::own(peer(i).destination);
    reconciler.turn(&mut table, &|cidr| cidr == own(1).destination).unwrap();
    assert_eq!(table.ours.keys().copied().collect::<Vec<_>>(), [own(1), peer(2), own(9)]);
    // The slow period asks for the leases again.
    reconciler.look_again();
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours.keys().copied().collect::<Vec<_>>(), [peer(2), own(9)]);
}

#[test]
fn what_the_kernel_answers_otherwise_is_followed_though_most_routes_go_for_it() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=4, Instant::now()));
    turn(&mut reconciler, &mut table);
    let questions = table.questions;
    let all: IpNetwork = "10.0.0.0/24".parse().unwrap();
    table.ways.insert(all, [10, 0, 9, 9].into());
    let elsewhere = Key { destination: "192.0.2.0/24".parse().unwrap(), metric: 0 };
    assert_eq!(reconciler.take(foreign(elsewhere)), Asked::Nothing, "it concerns no peer");
    let wide = Key { destination: "10.0.0.0/8".parse().unwrap(), metric: 0 };
    assert_eq!(reconciler.take(foreign(wide)), Asked::Nothing, "a longer prefix decides");
    assert_eq!(reconciler.take(foreign(Key { destination: all, metric: 0 })), Asked::Turn);
    turn(&mut reconciler, &mut table);
    assert_eq!(table.questions, questions + 4, "each peer, and the gateway");
    assert_eq!(table.ours.keys().copied().collect::<Vec<_>>(), [Key::own(peer(1).destination)]);
    assert_eq!(reconciler.guard(), Guard::Open, "no list says so: there is nothing to hold");
    table.ways.clear();
    reconciler.take(foreign(Key { destination: all, metric: 0 }));
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours.len(), 4);
}

#[test]
fn a_list_that_the_guard_holds_is_held_whatever_the_kernel_answers() {
    let start = Instant::now();
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=5, start));
    turn(&mut reconciler, &mut table);
    reconciler.learn(nodes([1], start));
    reconciler.take(KernelEvent::Rules);
    turn(&mut reconciler, &mut table);
    assert_eq!(table.ours.len(), 5);
    assert!(matches!(reconciler.guard(), Guard::Holding(_)));
}

#[test]
fn a_route_of_ours_that_hides_a_peers_address_goes_before_anything_is_decided() {
    let mut table = Table::default();
    turn(&mut Reconciler::new(settings(), nodes(1..=4, Instant::now())), &mut table);
    // A former node's CIDR lay around the address of node 3.
    table.ours.insert(Key::peer("10.0.0.3/32".parse().unwrap()), hop(9));
    let kept = table.ours[&peer(3)];
    let first = turn(&mut Reconciler::new(settings(), nodes(1..=4, Instant::now())), &mut table);
    assert_eq!(table.ours.len(), 4);
    assert_eq!(table.ours[&peer(3)], kept);
    let removed = first.applied.done.iter().filter(|change| matches!(change, Change::Remove(_))).count();
    assert_eq!((removed, first.applied.done.len()), (1, 1), "the good route never went: {:?}", first.applied);
}

#[test]
fn a_route_by_a_link_that_changed_waits_for_the_look_and_the_others_do_not() {
    let mut table = Table::default();
    let mut reconciler = Reconciler::new(settings(), nodes(1..=4, Instant::now()));
    turn(&mut reconciler, &mut table);
    assert_eq!(reconciler.take(KernelEvent::Link { index: 7, known: false }), Asked::Turn);
    table.ours.remove(&peer(2));
    assert_eq!(reconciler.take(KernelEvent::Lost(peer(2))), Asked::Heal);
    let looks = table.looks;
    reconciler.heal(&mut table).unwrap();
    assert_eq!((table.ours.len(), table.looks), (4, looks));
    assert_eq!(reconciler.take(KernelEvent::Link { index: 2, known: true }), Asked::Turn);
    table.ours.remove(&peer(2));
    assert_eq!(reconciler.take(KernelEvent::Lost(peer(2))), Asked::Turn);
    reconciler.heal(&mut table).unwrap();
    assert_eq!(table.ours.len(), 3, "not before the look");
    turn(&mut reconciler, &mut table);
    assert_eq!((table.ours.len(), table.looks), (4, looks + 1));
}

/// Something that happens to a node agent.
#[derive(Clone, Debug)]
enum Happening {
    Learn(BTreeSet<u8>),
    Deleted(u8),
    Stray(u8),
    Restart,
    LookAgain,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        proptest::collection::btree_set(2u8..20, 0..18).prop_map(Happening::Learn),
        (2u8..20).prop_map(Happening::Deleted),
        (2u8..20).prop_map(Happening::Stray),
        Just(Happening::Restart),
        Just(Happening::LookAgain),
    ]
}

proptest! {
    #[test]
    fn any_order_of_events_ends_in_the_same_state(
        happenings in proptest::collection::vec(happening(), 0..20),
        last in proptest::collection::btree_set(2u8..20, 1..18),
        foreign in proptest::collection::btree_set(2u8..20, 0..4),
    ) {
        let start = Instant::now();
        let foreign: BTreeMap<_, _> = foreign.into_iter().map(|i| (peer(i), "foreign")).collect();
        let mut table = Table { foreign: foreign.clone(), ..Table::default() };
        let list = |peers: &BTreeSet<u8>, taken| nodes([1].into_iter().chain(peers.iter().copied()), taken);
        let mut known = last.clone();
        let mut reconciler = Reconciler::new(settings(), list(&known, start));
        for happening in happenings {
            match happening {
                Happening::Learn(peers) => {
                    reconciler.learn(list(&peers, start));
                    known = peers;
                }
                Happening::Deleted(i) => {
                    table.ours.remove(&peer(i));
                    reconciler.take(KernelEvent::Lost(peer(i)));
                }
                Happening::Stray(i) if !foreign.contains_key(&peer(i)) => {
                    table.ours.insert(peer(i), Target::Foreign);
                    reconciler.take(KernelEvent::Held(peer(i), Target::Foreign));
                }
                Happening::Stray(_) => {}
                Happening::Restart => reconciler = Reconciler::new(settings(), list(&known, start)),
                Happening::LookAgain => drop(reconciler.look_again()),
            }
            turn(&mut reconciler, &mut table);
        }
        // The last list, and the same again once any hold is over.
        for taken in [start, start + HOLD, start + HOLD + HOLD] {
            reconciler.learn(list(&last, taken));
            turn(&mut reconciler, &mut table);
        }
        let mut expected: Routes = last.iter().map(|i| (peer(*i), hop(*i))).collect();
        expected.retain(|key, _| !foreign.contains_key(key));
        expected.insert(Key::own(peer(1).destination), Target::Unreachable);
        prop_assert_eq!(&table.ours, &expected);
        prop_assert_eq!(&table.foreign, &foreign, "foreign routes survive");
        let messages = table.messages;
        turn(&mut reconciler, &mut table);
        prop_assert_eq!(table.messages, messages, "plan after apply is empty");
    }
}

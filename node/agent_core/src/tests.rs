//! The core without threads: the orders that must hold whatever is late, and what each event comes to. The world's kernel and
//! parts assert them at the moment that counts:
//!
//! - no route to a node before the masquerade sets have its pod CIDR;
//! - no conflist before this node's own routes;
//! - no change before the first list, no removal by a part of a list, or of what every whole list has;
//! - no state that reports what is not so, and no pod that follows an MTU that the state does not have.

mod kernel;
mod world;

use std::time::Duration;

use nodes::{Node, Snapshot};
use proptest::prelude::*;
use routes::{Key, Target};
use state::control::Command;

use super::Written;
use super::{Event, PartReport};
use world::{CHANNELS, Channel, HOLD, List, World, cidr, hop};

fn whole(nodes: impl IntoIterator<Item = u8>) -> List {
    List { nodes: nodes.into_iter().collect(), is_partial: false }
}

fn part(nodes: impl IntoIterator<Item = u8>) -> List {
    List { is_partial: true, ..whole(nodes) }
}

/// The routes of this node, and of these nodes.
fn routes_to(nodes: impl IntoIterator<Item = u8>) -> routes::Routes {
    let others = nodes.into_iter().filter(|i| *i != 1);
    let peers = others.map(|i| (Key::peer(cidr(i)), hop(i)));
    peers.chain([(Key::own(cidr(1)), Target::Unreachable)]).collect()
}

/// The routes, the conflist and the state are as they should be.
fn assert_done(world: &World, nodes: impl IntoIterator<Item = u8>) {
    assert_eq!(world.kernel.routes, routes_to(nodes));
    assert_eq!(world.conflist.as_deref(), Some(&[cidr(1)][..]));
    let state = world.published.as_ref().unwrap();
    assert!(state.ready, "{state:?}");
    assert_eq!((state.v4.desired, state.v4.installed), (world.kernel.routes.len(), world.kernel.routes.len()));
}

#[test]
fn whichever_channel_is_late_the_orders_hold_and_everything_is_done_in_the_end() {
    for late in CHANNELS {
        let mut world = World::new([whole(1..=3)]);
        world.kernel.routes.insert(Key::peer(cidr(9)), hop(9));
        world.settle(Some(late));
        // A second list, a command and a removal while this channel is late again.
        world.list(part([1, 4]));
        world.list(whole(1..=5));
        world.command(Command::Look);
        world.remove(Key::own(cidr(1)));
        world.settle(Some(late));
        world.wait(2 * HOLD);
        assert_done(&world, 1..=5);
        assert_eq!(world.answers.len(), 1, "{late:?}");
    }
}

#[test]
fn a_route_waits_for_the_masquerade_sets_and_no_longer_than_two_seconds() {
    let mut world = World::new([whole(1..=2)]);
    let settle_without_filter = |world: &mut World| {
        while let Some(next) =
            CHANNELS.into_iter().find(|channel| *channel != Channel::ToFilter && world.holds(*channel))
        {
            world.deliver(next);
        }
    };
    settle_without_filter(&mut world);
    assert!(world.kernel.changes.is_empty() && world.holds(Channel::ToFilter));
    world.pass(Duration::from_millis(1999));
    settle_without_filter(&mut world);
    assert!(world.kernel.changes.is_empty());
    world.kernel.filter_is_late = true;
    world.pass(Duration::from_millis(1));
    settle_without_filter(&mut world);
    assert_eq!(world.kernel.routes, routes_to(1..=2));
    // Later lists wait as long as the first of them.
    world.list(whole(1..=3));
    settle_without_filter(&mut world);
    world.pass(Duration::from_millis(1500));
    world.list(whole(1..=4));
    settle_without_filter(&mut world);
    assert_eq!(world.kernel.routes, routes_to(1..=2));
    world.pass(Duration::from_millis(500));
    settle_without_filter(&mut world);
    assert_eq!(world.kernel.routes, routes_to(1..=4));
}

#[test]
fn the_state_is_published_after_all_that_a_turn_asks_for() {
    let mut world = World::new([whole(1..=3)]);
    world.settle(None);
    world.log.clear();
    world.list(whole(1..=4));
    // Without the parts' reports, which are published on their own.
    for channel in [Channel::Source, Channel::ToFilter, Channel::FromFilter, Channel::Turn] {
        world.deliver(channel);
    }
    world.log.clear();
    for channel in [Channel::Turned, Channel::Mtu, Channel::Sources] {
        world.deliver(channel);
    }
    let after_publication = world.log.iter().skip_while(|name| **name != "publish").collect::<Vec<_>>();
    assert_eq!(after_publication, [&"publish", &"pod mtus"]);
    for name in ["count", "mtu", "sources", "files", "verdicts", "node list"] {
        assert!(world.log.contains(&name), "{name} is missing: {:?}", world.log);
    }
}

#[test]
fn routes_of_former_nodes_go_by_a_whole_list_and_not_by_a_part_of_one() {
    let mut world = World::new([part(1..=5)]);
    // One of five is less than the guard holds.
    for i in 2..=6 {
        world.kernel.routes.insert(Key::peer(cidr(i)), hop(i));
    }
    world.wait(2 * HOLD);
    assert!(world.kernel.routes.contains_key(&Key::peer(cidr(6))));
    world.list(whole(1..=5));
    world.settle(None);
    assert_done(&world, 1..=5);
}

#[test]
fn the_conflist_waits_for_the_own_routes() {
    let mut world = World::new([whole(1..=2)]);
    world.kernel.refuses_own = true;
    world.settle(None);
    assert_eq!(world.conflist, None);
    assert!(world.published.as_ref().is_some_and(|state| !state.ready));
    world.kernel.refuses_own = false;
    world.command(Command::Look);
    world.settle(None);
    assert_done(&world, 1..=2);
}

#[test]
fn a_turn_leaves_the_nodes_inside_that_still_wait_for_the_masquerade_sets() {
    let mut world = World::new([whole(1..=2)]);
    world.settle(None);
    world.list(whole(1..=3));
    world.command(Command::Look);
    // The turn is done, and orders the sets again, before the packet filter has seen the first order.
    for channel in [Channel::Source, Channel::Commands, Channel::Turn, Channel::Turned, Channel::Mtu, Channel::Sources]
    {
        world.deliver(channel);
    }
    world.settle(None);
    assert_done(&world, 1..=3);
}

#[test]
fn what_the_previous_agent_knew_of_a_node_is_kept_where_the_kernel_has_its_route() {
    for (has_route, expected) in [(true, 1..=2), (false, 1..=1)] {
        let mut world = World::new([]);
        world.left = Some((1..=3).collect());
        world.kernel.listed = Some((1..=2).map(cidr).collect());
        if has_route {
            world.kernel.routes.insert(Key::peer(cidr(2)), hop(2));
        }
        let without_cidr = Node::of("n2", &["10.0.0.2"], &[]);
        let nodes = vec![Node::of("n1", &["10.0.0.1"], &[&cidr(1).to_string()]), without_cidr];
        world.on(Event::Report(Ok(Snapshot::new(nodes, world.now.at))));
        world.settle(None);
        assert_done(&world, expected);
    }
}

#[test]
fn a_kernel_that_cannot_be_asked_is_named_and_asked_again_a_second_later() {
    let mut world = World::new([whole(1..=3)]);
    world.kernel.is_broken = true;
    world.settle(None);
    let warnings = world.published.as_ref().unwrap().warnings.join("\n");
    assert!(warnings.contains("the kernel could not be asked"), "{warnings}");
    world.kernel.is_broken = false;
    world.pass(Duration::from_millis(999));
    world.settle(None);
    assert!(world.kernel.changes.is_empty());
    world.pass(Duration::from_millis(1));
    world.settle(None);
    assert_done(&world, 1..=3);
    assert_eq!(world.published.unwrap().warnings, [""; 0]);
}

#[test]
fn a_command_before_the_first_list_is_answered_at_once() {
    let mut world = World::new([]);
    world.command(Command::Look);
    world.command(Command::Release);
    world.settle(None);
    assert_eq!(world.answers, ["nothing to do: no whole list of nodes has come yet"; 2]);
}

#[derive(Clone, Debug)]
enum Step {
    /// Deliver from the channel of this number, of those that hold something.
    Deliver(prop::sample::Index),
    /// A few milliseconds.
    Pass(u8),
    List(List),
    Remove(u8),
    Command(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let list = (prop::collection::btree_set(2_u8..7, 0..5), any::<bool>());
    let list = list.prop_map(|(peers, is_partial)| List { nodes: peers.into_iter().chain([1]).collect(), is_partial });
    prop_oneof![
        20 => any::<prop::sample::Index>().prop_map(Step::Deliver),
        2 => any::<u8>().prop_map(Step::Pass),
        2 => list.prop_map(Step::List),
        1 => (1_u8..7).prop_map(Step::Remove),
        1 => any::<bool>().prop_map(Step::Command),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Deliver(index) => {
            let waiting: Vec<Channel> = CHANNELS.into_iter().filter(|channel| world.holds(*channel)).collect();
            if !waiting.is_empty() {
                world.deliver(*index.get(&waiting));
            }
        }
        // So little that no order may end by it.
        Step::Pass(millis) => {
            if !world.holds(Channel::ToFilter) && !world.holds(Channel::FromFilter) {
                world.pass(Duration::from_millis(millis.into()));
            }
        }
        Step::List(list) => world.list(list),
        Step::Remove(i) => world.remove(if i == 1 { Key::own(cidr(1)) } else { Key::peer(cidr(i)) }),
        Step::Command(looks) => world.command(if looks { Command::Look } else { Command::Release }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_whatever_order_messages_arrive_the_orders_hold(steps in prop::collection::vec(step(), 0..150)) {
        let mut world = World::new([part([1, 2]), whole(1..=4)]);
        world.kernel.routes.insert(Key::peer(cidr(9)), hop(9));
        steps.into_iter().for_each(|step| take(&mut world, step));
        world.list(whole([1, 2, 5]));
        world.wait(3 * HOLD);
        assert_done(&world, [1, 2, 5]);
    }
}

#[test]
fn parts_that_report_together_have_the_state_published_once() {
    let mut world = World::new([whole(1..=2)]);
    world.settle(None);
    let before = world.log.len();
    let reports = [
        PartReport::FormerMtus(vec!["web".to_owned()]),
        PartReport::Written(Written { failed: vec!["full".to_owned()], routed: true }),
    ];
    world.on(Event::Parts(reports.into()));
    assert_eq!(world.log[before..], ["publish"]);
    let state = world.published.unwrap();
    assert_eq!(state.former_mtu_pods, 1);
    assert!(state.warnings.contains(&"full".to_owned()), "{state:?}");
}

#[test]
fn a_turn_that_changes_nothing_publishes_no_verdicts() {
    let mut world = World::new([whole(1..=3)]);
    world.settle(None);
    assert_done(&world, 1..=3);
    let (verdicts, before) =
        (|log: &[&str]| log.iter().filter(|action| **action == "verdicts").count(), world.log.len());
    assert!(verdicts(&world.log) > 0, "{:?}", world.log);
    world.command(Command::Look);
    world.settle(None);
    let after = &world.log[before..];
    assert!(after.contains(&"turn") && verdicts(after) == 0, "{after:?}");
    world.list(whole(1..=4));
    world.settle(None);
    assert!(verdicts(&world.log[before..]) > 0, "{:?}", &world.log[before..]);
}

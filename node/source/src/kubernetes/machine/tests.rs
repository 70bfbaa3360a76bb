//! The machine in virtual time: the test is the API server.

use proptest::prelude::*;
use watcher::Event as WatcherEvent;

use super::super::backoff::{FIRST, LONGEST, WELL};
use super::*;

/// A machine, its time, and what came out of it.
struct Run {
    machine: Machine,
    start: Instant,
    now: Instant,
    /// The number of the present watch, and how it lists.
    watch: Option<(u64, bool)>,
    /// When each watch began.
    begun: Vec<Duration>,
    published: Vec<Result<Vec<String>, String>>,
}

impl Run {
    fn new() -> Self {
        let now = Instant::now();
        let machine = Machine::new(true, 7, now);
        let mut run = Self { machine, start: now, now, watch: None, begun: Vec::new(), published: Vec::new() };
        run.on(Event::Tick);
        run
    }

    fn on(&mut self, event: Event) {
        for action in self.machine.on(event, self.now) {
            match action {
                Action::Leave => self.watch = None,
                Action::Watch { number, streams } => {
                    assert!(self.watch.is_none(), "the present watch is ended before the next begins");
                    self.watch = Some((number, streams));
                    self.begun.push(self.now - self.start);
                }
                Action::Publish(report) => self.published.push(match report {
                    Ok(snapshot) => Ok(snapshot.nodes.iter().map(|node| node.name.to_string()).collect()),
                    Err(error) => Err(error.to_string()),
                }),
                Action::LogPages => {}
            }
        }
    }

    fn result(&mut self, result: WatchResult) {
        let number = self.watch.map_or(0, |(number, _)| number);
        self.on(Event::Watch(number, result));
    }

    fn event(&mut self, event: WatcherEvent<NodeWatched>) {
        self.result(WatchResult::Event(Box::new(event)));
    }

    fn list(&mut self, nodes: &[&str]) {
        self.event(WatcherEvent::Init);
        nodes.iter().for_each(|name| self.event(WatcherEvent::InitApply(node(name))));
        self.event(WatcherEvent::InitDone);
    }

    fn fail(&mut self) {
        self.result(WatchResult::Failed(Error::Kubernetes { doing: "watch the nodes", why: "no".to_owned() }));
    }

    fn sleep(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.machine.due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.on(Event::Tick);
        }
        self.now = until;
    }

    fn streams(&self) -> Option<bool> {
        self.watch.map(|(_, streams)| streams)
    }
}

fn node(name: &str) -> NodeWatched {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name, "resourceVersion": "7"}})).unwrap()
}

fn nodes(names: &[&str]) -> Result<Vec<String>, String> {
    Ok(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn changes_are_published_together_once_the_watch_is_quiet() {
    let mut run = Run::new();
    run.list(&["a"]);
    assert!(run.published.is_empty());
    run.sleep(SETTLE / 2);
    run.event(WatcherEvent::Apply(node("b")));
    run.sleep(SETTLE / 2);
    assert!(run.published.is_empty(), "a change starts the time again");
    run.sleep(SETTLE / 2);
    assert_eq!(run.published, [nodes(&["a", "b"])]);
    run.sleep(LONGEST * 10);
    assert_eq!((run.published.len(), run.begun.len()), (1, 1), "without changes nothing happens");
}

#[test]
fn failures_are_published_and_followed_by_waits_that_double_and_begin_again_after_a_good_time() {
    let mut run = Run::new();
    let mut waits = Vec::new();
    for _ in 0..9 {
        run.fail();
        let due = run.machine.due().unwrap();
        waits.push(due - run.now);
        assert_eq!(run.watch, None);
        run.sleep(due - run.now);
        assert!(run.watch.is_some());
    }
    assert_eq!(run.published.len(), 9);
    for (at, wait) in waits.iter().enumerate() {
        let least = LONGEST.min(FIRST * (1 << at));
        assert!(*wait >= least && *wait <= 2 * least, "{waits:?}");
    }
    run.list(&["a"]);
    run.sleep(WELL + Duration::from_secs(1));
    run.fail();
    assert!(run.machine.due().unwrap() - run.now <= 2 * FIRST);
}

#[test]
fn a_question_ends_the_wait_and_the_present_watch() {
    let mut run = Run::new();
    run.fail();
    run.on(Event::Refresh);
    assert_eq!(run.begun, [Duration::ZERO; 2]);
    run.list(&["a"]);
    run.on(Event::Refresh);
    assert_eq!(run.begun.len(), 3);
    assert_eq!(run.published[1..], [nodes(&["a"])], "what the watch yielded before counts");
}

#[test]
fn a_list_that_an_ended_watch_began_is_no_part_of_the_next_one() {
    let mut run = Run::new();
    run.event(WatcherEvent::Init);
    run.event(WatcherEvent::InitApply(node("a")));
    run.result(WatchResult::Ended);
    run.event(WatcherEvent::InitApply(node("b")));
    run.event(WatcherEvent::InitDone);
    run.sleep(SETTLE);
    assert_eq!(run.published, [nodes(&["b"])]);
}

#[test]
fn a_watch_that_ends_in_good_order_is_followed_by_a_list_at_once() {
    let mut run = Run::new();
    run.list(&["a"]);
    run.result(WatchResult::Ended);
    assert_eq!(run.begun.len(), 2);
    assert_eq!(run.published, [nodes(&["a"])]);
}

#[test]
fn a_server_that_cannot_stream_is_asked_for_pages_from_then_on() {
    let mut run = Run::new();
    run.event(WatcherEvent::Init);
    run.sleep(STREAMED - SETTLE);
    assert_eq!(run.streams(), Some(true));
    run.sleep(SETTLE);
    assert_eq!((run.streams(), run.begun.len()), (Some(false), 2));
    run.event(WatcherEvent::Init);
    run.sleep(STREAMED * 2);
    assert_eq!(run.begun.len(), 2, "pages may take their time");
    run.list(&["a"]);
    run.fail();
    run.sleep(LONGEST);
    assert_eq!(run.streams(), Some(false));
    let mut refuses = Run::new();
    refuses.result(WatchResult::CannotStream);
    assert_eq!(refuses.streams(), Some(false));
    let mut streams = Run::new();
    streams.list(&["a"]);
    streams.sleep(STREAMED * 2);
    assert_eq!(streams.streams(), Some(true), "a complete list is not late");
}

#[test]
fn a_list_of_too_many_nodes_is_given_up_and_not_published() {
    let mut run = Run::new();
    run.event(WatcherEvent::Init);
    for number in 0..=MOST {
        run.event(WatcherEvent::InitApply(node(&number.to_string())));
    }
    assert_eq!(run.watch, None);
    assert!(matches!(&run.published[..], [Err(why)] if why.contains("more than 100000 nodes")), "{:?}", run.published);
}

proptest! {
    /// Whatever a server sends in whatever order: only complete lists are published, the results of an older watch
    /// are ignored, and after any end there is a watch, or a wait for one.
    #[test]
    fn only_whole_lists_of_the_present_watch_are_published(steps in prop::collection::vec(0_u8..9, 1..80)) {
        let mut run = Run::new();
        let mut complete = false;
        for step in steps {
            match step {
                0 => run.event(WatcherEvent::Init),
                1 => run.event(WatcherEvent::InitApply(node("coming"))),
                2 => {
                    complete |= run.watch.is_some();
                    run.event(WatcherEvent::InitDone);
                }
                3 => run.event(WatcherEvent::Apply(node("b"))),
                4 => run.fail(),
                5 => run.result(WatchResult::Ended),
                6 => run.on(Event::Refresh),
                7 => {
                    let old = run.machine.number.saturating_sub(1);
                    use WatcherEvent::{Apply, Init, InitApply, InitDone};
                    for event in [Init, InitApply(node("old")), InitDone, Apply(node("old"))] {
                        run.on(Event::Watch(old, WatchResult::Event(Box::new(event))));
                    }
                    run.on(Event::Watch(old, WatchResult::Ended));
                }
                _ => run.sleep(Duration::from_secs(20)),
            }
            for names in run.published.drain(..).flatten() {
                prop_assert!(complete && !names.contains(&"old".to_owned()), "{names:?}");
            }
            prop_assert!(run.watch.is_some() || run.machine.due().is_some());
        }
    }
}

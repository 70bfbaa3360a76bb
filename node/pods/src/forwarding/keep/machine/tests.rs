//! The machine in virtual time: the test is the node, whose forwarding other programs switch off.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::super::{Change, Observed};
use super::*;

const EVERY: Duration = Duration::from_secs(600);

/// A node with pods of IPv4, and the machine.
struct Node {
    machine: Machine,
    start: Instant,
    now: Instant,
    on: bool,
    refuses: bool,
    cannot_be_asked: bool,
    opens: usize,
    /// When it was switched on.
    switched: Vec<u64>,
    observed: usize,
    published: Vec<Forwarding>,
    log: Vec<Notice>,
}

impl Node {
    fn new(keeps: bool) -> Self {
        let now = Instant::now();
        let machine = Machine::new(EVERY, keeps, Forwarding::default(), now);
        let (switched, published, log) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            machine,
            start: now,
            now,
            on: true,
            refuses: false,
            cannot_be_asked: false,
            opens: 0,
            switched,
            observed: 0,
            published,
            log,
        }
    }

    /// One that has looked once.
    fn rested(keeps: bool) -> Self {
        let mut node = Self::new(keeps);
        node.on(Event::Tick);
        node.observed = 0;
        node
    }

    fn answer(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Open => {
                self.opens += 1;
                Some(Event::Opened(if self.cannot_be_asked { Err("ask the kernel: no".to_owned()) } else { Ok(()) }))
            }
            Action::Close => None,
            Action::Ask { .. } => Some(Event::Forwards(Ok(Some(self.on)))),
            Action::Observe { number, family } => {
                self.observed += 1;
                let off = if self.on { Vec::new() } else { vec![(7, "eth0".to_owned())] };
                let seen = Observed { pods: family == Family::V4, all: Some(self.on), off, losses: Vec::new() };
                Some(Event::Observed(number, Ok((seen, BTreeSet::from([7])))))
            }
            Action::Switch { number, change } => {
                assert_eq!(change, Change::NodeV4(vec![7]));
                let result = if self.refuses { Err("write: no".to_owned()) } else { Ok(()) };
                if result.is_ok() {
                    self.on = true;
                    self.switched.push((self.now - self.start).as_secs());
                }
                Some(Event::Changed(number, result))
            }
            Action::Publish(forwarding) => {
                self.published.push(forwarding);
                None
            }
            Action::Log(notice) => {
                self.log.push(notice);
                None
            }
        }
    }

    fn on(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.on(event, self.now) {
                events.extend(self.answer(action));
            }
        }
    }

    fn switch(&mut self, on: bool) {
        self.on = on;
        self.on(Event::KernelEvents(vec![KernelEvent::Switched { family: Family::V4, link: None, on }]));
    }

    fn sleep(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.machine.due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.on(Event::Tick);
        }
        self.now = until;
    }

    fn last(&self) -> &Forwarding {
        self.published.last().unwrap()
    }
}

#[test]
fn it_is_switched_on_at_once_twice_and_then_after_waits_that_double_until_there_was_calm() {
    let mut node = Node::rested(true);
    // A program that switches it off as soon as it was switched on.
    while node.switched.len() < 10 {
        node.switch(false);
        while !node.on {
            node.now = node.machine.due().unwrap().max(node.now);
            node.on(Event::Tick);
        }
    }
    assert_eq!(node.switched, [0, 0, 1, 3, 7, 15, 31, 63, 123, 183]);
    assert!(node.last().warnings[0].contains("again and again (10 times lately)"), "{:?}", node.last());
    node.sleep(60);
    node.sleep(300);
    let before = node.switched.len();
    node.switch(false);
    assert_eq!(node.switched.len(), before + 1, "after five quiet minutes at once again");
    assert_eq!(node.last().heals, before as u64 + 1);
}

#[test]
fn what_cannot_be_switched_on_is_tried_again_and_the_warning_is_logged_once() {
    let mut node = Node::rested(true);
    node.refuses = true;
    node.switch(false);
    node.sleep(4 * RETRY.as_secs());
    assert_eq!(node.log.len(), 1, "{:?}", node.log);
    assert!(node.last().off[0] && node.last().warnings[0].contains("failed to write: no"), "{:?}", node.last());
    assert_eq!(node.observed, 2 * 5, "at once, and every five seconds");
    node.refuses = false;
    node.sleep(RETRY.as_secs());
    assert_eq!(*node.last(), Forwarding { off: [false; 2], warnings: Vec::new(), heals: 1 });
}

#[test]
fn where_it_is_not_to_be_kept_on_it_is_only_reported() {
    let mut node = Node::rested(false);
    node.switch(false);
    node.sleep(EVERY.as_secs());
    assert!(node.switched.is_empty() && node.last().off == [true, false]);
    node.switch(true);
    assert_eq!(*node.last(), Forwarding::default());
}

#[test]
fn events_that_change_nothing_are_followed_by_no_look() {
    let mut node = Node::rested(true);
    let switched = |link, on| KernelEvent::Switched { family: Family::V4, link, on };
    for event in [switched(None, true), switched(Some(9), false), KernelEvent::Carrier { family: Family::V4, link: 8 }]
    {
        node.on(Event::KernelEvents(vec![event]));
    }
    assert_eq!(node.observed, 0);
    for event in [switched(Some(7), false), KernelEvent::Overflow] {
        node.on(Event::KernelEvents(vec![event]));
    }
    assert_eq!(node.observed, 4, "both families, twice");
    node.on = false;
    node.on(Event::KernelEvents(vec![KernelEvent::Carrier { family: Family::V4, link: 10 }]));
    assert_eq!(node.switched.len(), 1, "a new link that does not forward");
    node.on = false;
    node.on(Event::KernelEvents(vec![KernelEvent::Carrier { family: Family::V4, link: 7 }]));
    assert_eq!(node.switched.len(), 1, "a link that is known is not asked");
}

#[test]
fn while_the_kernel_cannot_be_asked_that_is_published_and_tried_again_every_half_second() {
    let mut node = Node::rested(true);
    node.switch(false);
    node.cannot_be_asked = true;
    node.on(Event::Lost("listen to the kernel: no".to_owned()));
    assert_eq!(node.last().heals, 1, "what was counted stands");
    node.sleep(2);
    assert_eq!(node.opens, 1 + 4);
    let warning = "cannot check whether pods' packets are forwarded: failed to ask the kernel: no";
    assert_eq!(node.last().warnings, [warning]);
    let not_checked = node.log.iter().filter(|notice| matches!(notice, Notice::NotChecked(_)));
    assert_eq!(not_checked.count(), 2, "each reason once");
    node.cannot_be_asked = false;
    node.sleep(1);
    assert_eq!(*node.last(), Forwarding { heals: 1, ..Forwarding::default() });
    node.sleep(10);
    assert_eq!(node.opens, 6);
}

proptest! {
    /// Results that come late, twice, or after the sockets were lost: an old one is ignored, and once all is answered, what
    /// was switched off is on again or will be tried.
    #[test]
    fn no_change_is_missed_whatever_order_results_come_in(steps in prop::collection::vec(0_u8..8, 1..80)) {
        let mut node = Node::new(true);
        let mut waiting: VecDeque<Action> = node.machine.on(Event::Tick, node.now).into();
        let mut old = Vec::new();
        for step in steps {
            let event = match step {
                0 => {
                    node.on = false;
                    Event::KernelEvents(vec![KernelEvent::Switched { family: Family::V4, link: None, on: false }])
                }
                1 => match old.pop() {
                    Some(number) => Event::Changed(number, Ok(())),
                    None => Event::Tick,
                },
                2 => Event::Lost("read".to_owned()),
                3 => {
                    node.now += Duration::from_secs(1);
                    Event::Tick
                }
                _ => {
                    let Some(action) = waiting.pop_front() else { continue };
                    if let Action::Switch { number, .. } | Action::Observe { number, .. } = action {
                        old.push(number);
                    }
                    let Some(event) = node.answer(action) else { continue };
                    event
                }
            };
            let heals = node.machine.published.heals;
            waiting.extend(node.machine.on(event, node.now));
            prop_assert!(node.machine.published.heals <= node.switched.len() as u64, "{heals} and then too many");
        }
        while let Some(action) = waiting.pop_front() {
            if let Some(event) = node.answer(action) {
                waiting.extend(node.machine.on(event, node.now));
            }
        }
        node.sleep(130);
        prop_assert!(node.on, "{:?}", node.machine);
        prop_assert_eq!(node.last().off, [false; 2]);
    }
}

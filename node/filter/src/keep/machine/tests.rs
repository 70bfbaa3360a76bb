//! The machine in virtual time: the test is the kernel that answers its requests, at once or late.

use ipnetwork::IpNetwork;
use proptest::prelude::*;

use super::super::schedule::{FIRST_LOOK, NEXT_LOOK, PEACE, PORTS};
use super::*;
use crate::Drops;
use crate::Sides;
use crate::forward::By;
use crate::forward::ForwardDrop;

const EVERY: Duration = Duration::from_secs(600);
const COUNT: Duration = Duration::from_secs(60);

/// A machine, its time, and what came out of it.
struct Run {
    machine: Machine,
    now: Instant,
    asked: Option<(u64, Request)>,
    published: Vec<Filtered>,
    log: Vec<Notice>,
}

impl Run {
    fn new(egress: Egress) -> Self {
        let now = Instant::now();
        let machine = Machine::new(EVERY, COUNT, egress, false, now);
        Self { machine, now, asked: None, published: Vec::new(), log: Vec::new() }
    }

    fn on(&mut self, event: Event) {
        for action in self.machine.on(event, self.now) {
            match action {
                Action::Ask(number, request) => {
                    assert!(self.asked.is_none(), "two requests at once: {:?} and {request:?}", self.asked);
                    self.asked = Some((number, request));
                }
                Action::Publish(filtered) => self.published.push(filtered),
                Action::Log(notice) => self.log.push(notice),
            }
        }
    }

    /// Answers the request that is under way; returns it.
    fn answer(&mut self, answer: impl Fn(&Request) -> Answer) -> Option<Request> {
        let (number, request) = self.asked.take()?;
        self.on(Event::Answered(number, answer(&request)));
        Some(request)
    }

    /// Answers until nothing is under way; returns the requests.
    fn settle(&mut self, answer: impl Fn(&Request) -> Answer) -> Vec<Request> {
        std::iter::from_fn(|| self.answer(&answer)).collect()
    }

    /// Lets the time pass to when the machine wants to be called, and settles. The time that passed.
    fn sleep(&mut self, answer: impl Fn(&Request) -> Answer) -> (Duration, Vec<Request>) {
        let waited = self.machine.due().saturating_duration_since(self.now);
        self.now += waited;
        self.on(Event::Tick);
        (waited, self.settle(answer))
    }

    /// A machine whose rules are all in place.
    fn in_place(egress: Egress) -> Self {
        let mut run = Self::new(egress);
        run.on(Event::Tick);
        run.settle(obeys);
        run
    }

    fn want(&mut self, version: u64) {
        let sides = Some(sides(version));
        self.on(Event::Wanted(Wanted { version, sides, forwarded: None }));
    }
}

fn sides(version: u64) -> Sides {
    let number = u8::try_from(version).unwrap();
    Sides::new([], [IpNetwork::new([10, number, 0, 0].into(), 16).unwrap()])
}

fn obeys(request: &Request) -> Answer {
    match request {
        Request::Listen => Answer::Listening(Ok(())),
        Request::Masquerade(_) | Request::Source => Answer::Put { changed: false, failed: None },
        Request::Ports => Answer::Ported { restored: Restored::default(), failed: None },
        Request::Look { .. } => Answer::Looked(Ok(Vec::new())),
        Request::Count => Answer::Counted(Some(Drops::default())),
    }
}

fn refuses(request: &Request) -> Answer {
    match request {
        Request::Masquerade(_) | Request::Source => Answer::Put { changed: false, failed: Some("no".to_owned()) },
        other => obeys(other),
    }
}

fn is_put(request: &Request) -> bool {
    matches!(request, Request::Masquerade(_) | Request::Source)
}

proptest! {
    /// Whatever order events and results come in: a version is published only when the sets of that version, or of a later
    /// one, are in force, and never a smaller one after a greater one. In the end the last one is published.
    #[test]
    fn a_version_is_published_once_its_sets_are_in_force(steps in prop::collection::vec(0_u8..8, 1..60)) {
        let mut run = Run::new(Egress::Unknown);
        let (mut wanted, mut in_force, mut seen) = (0, 0, 0);
        let mut old = None;
        for step in steps.into_iter().chain([0]) {
            match step {
                0 | 1 => {
                    wanted += 1;
                    run.want(wanted);
                }
                2 => {
                    run.now = run.machine.due().max(run.now);
                    run.on(Event::Tick);
                }
                3 => run.on(Event::TablesChanged { ours: true, ports: true, others: true }),
                // A result that came once comes again.
                4 => if let Some(number) = old {
                    run.on(Event::Answered(number, Answer::Put { changed: true, failed: Some("late".to_owned()) }));
                },
                _ => {
                    if let Some((number, request)) = &run.asked {
                        old = Some(*number);
                        if let Request::Masquerade(Egress::On(sides)) = request {
                            in_force = (0..=wanted).find(|version| super::tests::sides(*version) == *sides).unwrap();
                        }
                    }
                    run.answer(obeys);
                }
            }
            for filtered in run.published.drain(..) {
                prop_assert!(filtered.version <= in_force, "{} is published, {in_force} is in force", filtered.version);
                prop_assert!(filtered.version >= seen, "{} after {seen}", filtered.version);
                prop_assert_ne!(filtered.states.masquerade, RuleState::Missing("late".to_owned()));
                seen = filtered.version;
            }
        }
        run.settle(obeys);
        prop_assert_eq!(run.published.last().map(|filtered| filtered.version), Some(wanted));
    }
}

#[test]
fn a_version_is_published_at_once_and_the_rest_when_nothing_is_left_to_do() {
    let mut run = Run::new(Egress::Unknown);
    run.on(Event::Tick);
    run.want(1);
    assert_eq!(run.answer(obeys), Some(Request::Listen));
    assert_eq!(run.answer(obeys), Some(Request::Source));
    assert!(run.published.is_empty());
    assert_eq!(run.answer(obeys), Some(Request::Masquerade(Egress::On(sides(1)))));
    assert_eq!(run.published.iter().map(|filtered| filtered.version).collect::<Vec<_>>(), [1]);
    assert_eq!(run.settle(obeys), [Request::Ports, Request::Count]);
    assert_eq!(run.published.len(), 2);
    assert!(run.published[1].drops.is_some());
}

#[test]
fn sets_that_the_kernel_refuses_are_acknowledged_too_and_tried_again_until_it_takes_them() {
    let mut run = Run::in_place(Egress::Unknown);
    run.want(1);
    run.settle(refuses);
    let last = run.published.last().unwrap();
    assert_eq!((last.version, &last.states.masquerade), (1, &RuleState::Missing("no".to_owned())));
    for _ in 0..3 {
        let (waited, requests) = run.sleep(refuses);
        assert_eq!((waited, requests.iter().filter(|request| is_put(request)).count()), (RETRY, 2));
    }
    assert_eq!(run.log.len(), 2, "each rule is logged once: {:?}", run.log);
    run.sleep(obeys);
    let (waited, requests) = run.sleep(obeys);
    assert!(waited > RETRY && !requests.iter().any(is_put), "nothing is missing any more: {waited:?} {requests:?}");
}

#[test]
fn before_the_nodes_are_known_the_masquerade_of_an_earlier_agent_stays() {
    let mut run = Run::new(Egress::Unknown);
    run.on(Event::Tick);
    run.on(Event::TablesChanged { ours: true, ports: true, others: true });
    let requests = run.settle(obeys);
    assert!(requests.contains(&Request::Source), "{requests:?}");
    assert!(!requests.iter().any(|request| matches!(request, Request::Masquerade(_))), "{requests:?}");
    let mut run = Run::new(Egress::Off);
    run.on(Event::Tick);
    assert!(run.settle(obeys).contains(&Request::Masquerade(Egress::Off)));
    assert_eq!(run.published.last().unwrap().states.masquerade, RuleState::Off);
}

#[test]
fn rules_that_another_program_changes_are_put_back_at_once_and_then_once_a_second() {
    let mut run = Run::in_place(Egress::Off);
    let changes = |run: &mut Run| run.on(Event::TablesChanged { ours: true, ports: false, others: true });
    let restored = |request: &Request| match request {
        Request::Source => Answer::Put { changed: true, failed: None },
        other => obeys(other),
    };
    changes(&mut run);
    assert_eq!(run.settle(restored).iter().filter(|request| is_put(request)).count(), 2, "at once");
    assert_eq!(run.log, [Notice::Restored]);
    for _ in 0..5 {
        changes(&mut run);
        changes(&mut run);
        assert!(run.asked.is_none(), "not again at once");
        let start = run.now;
        while !run.sleep(restored).1.iter().any(is_put) {}
        assert_eq!(run.now - start, PEACE);
    }
    run.now += PEACE;
    changes(&mut run);
    assert!(run.settle(restored).iter().any(is_put), "after a quiet second at once again");
}

#[test]
fn foreign_rules_are_read_soon_after_a_change_and_the_less_often_the_longer_that_takes() {
    for (took, expected) in
        [(0, 300), (20, 1000), (200, 3000)].map(|(took, every)| (Duration::from_millis(took), every))
    {
        let mut run = Run::in_place(Egress::Off);
        let forwarded = Some(Forwarded::default());
        run.on(Event::Wanted(Wanted { version: 0, sides: None, forwarded }));
        let mut looks = Vec::new();
        while looks.len() < 5 {
            if let Some((_, Request::Look { .. })) = run.asked {
                looks.push(run.now);
                run.now += took;
            }
            run.settle(obeys);
            run.on(Event::TablesChanged { ours: false, ports: false, others: true });
            run.now += FIRST_LOOK / 10;
            run.on(Event::Tick);
        }
        let apart: Vec<u128> = looks.windows(2).map(|two| (two[1] - two[0]).as_millis()).collect();
        assert_eq!(apart, [expected; 4], "a reading takes {took:?}");
        run.now += NEXT_LOOK[1];
        run.settle(obeys);
        run.on(Event::TablesChanged { ours: false, ports: false, others: true });
        assert!(run.machine.due() <= run.now + FIRST_LOOK, "after quiet times soon");
    }
}

#[test]
fn what_drops_traffic_is_logged_once_and_published() {
    let mut run = Run::in_place(Egress::Off);
    let (chain, cure) = ("c".to_owned(), String::new());
    let found = ForwardDrop { chain, hook: "forward", rule: None, by: By::Policy, certain: true, cure };
    let drops = |request: &Request| match request {
        Request::Look { .. } => Answer::Looked(Ok(vec![found.clone()])),
        other => obeys(other),
    };
    run.on(Event::Wanted(Wanted { forwarded: Some(Forwarded::default()), ..Wanted::default() }));
    run.settle(drops);
    let start = run.now;
    while run.now < start + 3 * EVERY {
        run.sleep(drops);
    }
    assert_eq!(run.log, [Notice::Dropped(found.clone())]);
    assert_eq!(run.published.last().unwrap().states.forward, [found]);
}

#[test]
fn an_event_socket_that_failed_is_opened_again_and_then_all_rules_are_compared() {
    let mut run = Run::in_place(Egress::Off);
    run.on(Event::Deaf("gone".to_owned()));
    let cannot = |request: &Request| match request {
        Request::Listen => Answer::Listening(Err("no descriptor".to_owned())),
        other => obeys(other),
    };
    for _ in 0..3 {
        assert_eq!(run.sleep(cannot), (REOPEN, vec![Request::Listen]));
    }
    let (waited, requests) = run.sleep(obeys);
    assert_eq!((waited, &requests[0]), (REOPEN, &Request::Listen));
    assert_eq!(requests.iter().filter(|request| is_put(request)).count(), 2, "{requests:?}");
    let (waited, _) = run.sleep(obeys);
    assert!(waited > REOPEN);
}

#[test]
fn host_ports_are_compared_at_once_and_then_at_most_every_twenty_milliseconds_and_other_rules_are_not() {
    let mut run = Run::in_place(Egress::Off);
    let changed = || Event::TablesChanged { ours: false, ports: true, others: false };
    let start = run.now;
    run.on(changed());
    assert_eq!(run.settle(obeys), [Request::Ports]);
    let mut compared = Vec::new();
    while run.now < start + 3 * PORTS {
        run.now += PORTS / 10;
        run.on(changed());
        if run.settle(obeys).contains(&Request::Ports) {
            compared.push((run.now - start).as_millis());
        }
    }
    assert_eq!(compared, [20, 40, 60]);
}

#[test]
fn host_ports_that_the_kernel_refuses_are_tried_again_and_said_once() {
    let mut run = Run::new(Egress::Off);
    let refuses = |request: &Request| match request {
        Request::Ports => Answer::Ported { restored: Restored::default(), failed: Some("no".to_owned()) },
        other => obeys(other),
    };
    run.on(Event::Tick);
    run.settle(refuses);
    assert_eq!(run.published.last().unwrap().states.ports, RuleState::Missing("no".to_owned()));
    for _ in 0..3 {
        while !run.sleep(refuses).1.contains(&Request::Ports) {}
    }
    assert_eq!(run.log, [Notice::Missing { rule: "host ports", error: "no".to_owned() }]);
    while !run.sleep(obeys).1.contains(&Request::Ports) {}
    assert_eq!(run.published.last().unwrap().states.ports, RuleState::InPlace);
}

//! When it looks, and what it reports, in virtual time.

use super::*;
use conditions::Fix;

fn wrong(subjects: &[&str]) -> Outcome {
    let conditions = subjects.iter().map(|subject| Condition::new(Kind::ForwardingOff, *subject, "it is off"));
    Ok(Finding::of(conditions.collect(), "all is well"))
}

fn looked(outcome: Outcome, cost: u64) -> Event {
    Event::Looked(Looked { outcomes: vec![("forwarding", outcome)], cost: Duration::from_millis(cost) })
}

/// So that what is new is confirmed.
fn look_twice(machine: &mut Machine, look: impl Fn() -> Event, now: Instant) {
    for _ in 0..2 {
        machine.on(look(), now);
    }
}

fn subjects(machine: &Machine) -> Vec<String> {
    machine.found().conditions.into_iter().map(|condition| condition.subject).collect()
}

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn it_looks_at_once_then_at_intervals_and_soon_after_a_burst_of_events() {
    let start = Instant::now();
    let mut machine = Machine::new(Found::default(), start);
    machine.on(Event::Woken, start);
    assert_eq!(machine.due(), start + SETTLE);
    let start = start + SETTLE;
    assert!(machine.on(Event::Tick, start));
    machine.on(looked(wrong(&[]), 1), start);
    assert_eq!(machine.due(), start + PERIOD);
    assert!(!machine.on(Event::Tick, after(start, 3999)));
    machine.on(Event::Woken, after(start, 1000));
    machine.on(Event::Woken, after(start, 1090));
    assert_eq!(machine.due(), after(start, 1100), "the first event of a burst counts");
    assert!(machine.on(Event::Tick, after(start, 1100)));
}

#[test]
fn without_events_a_costly_look_is_repeated_less_often_but_each_minute() {
    let start = Instant::now();
    for (cost, period) in [(1, 4000), (16, 4000), (100, 25_000), (700, 60_000)] {
        let mut machine = Machine::new(Found::default(), start);
        machine.on(looked(wrong(&[]), cost), start);
        assert_eq!(machine.due(), after(start, period), "a look of {cost} ms");
        machine.on(Event::Woken, start);
        assert!(
            machine.due() <= after(start, 20 * cost.max(5)),
            "an event is followed by a look, after one of {cost} ms"
        );
    }
}

#[test]
fn looks_take_a_twentieth_of_the_time_however_many_events_come_and_however_costly_they_are() {
    let mut now = Instant::now();
    let start = now;
    let mut machine = Machine::new(Found::default(), now);
    let (cost, mut spent) = (Duration::from_millis(700), Duration::ZERO);
    while now < start + Duration::from_secs(600) {
        machine.on(Event::Woken, now);
        if machine.on(Event::Tick, now) {
            spent += cost;
            machine.on(looked(wrong(&["IPv4"]), 700), now + cost);
        }
        now += Duration::from_millis(10);
    }
    assert!(spent > Duration::from_secs(15) && spent <= Duration::from_secs(31), "{spent:?}");
}

#[test]
fn what_is_new_is_reported_once_a_second_look_finds_it_and_what_is_gone_is_cleared_at_once() {
    let start = Instant::now();
    let mut machine = Machine::new(Found::default(), start);
    machine.on(looked(wrong(&["IPv4"]), 1), start);
    assert_eq!(subjects(&machine), [""; 0]);
    assert_eq!(machine.due(), start + CONFIRM);
    machine.on(looked(wrong(&["IPv4", "IPv6"]), 1), start + CONFIRM);
    assert_eq!(subjects(&machine), ["IPv4"]);
    machine.on(looked(wrong(&["IPv6"]), 1), start + 2 * CONFIRM);
    assert_eq!(subjects(&machine), ["IPv6"]);
    machine.on(looked(wrong(&[]), 1), start + 3 * CONFIRM);
    assert_eq!(machine.found(), Found::default());
}

#[test]
fn one_more_of_a_kind_that_is_reported_by_its_number_is_no_reason_to_look_soon() {
    for (listed, period) in [(MOST - 1, CONFIRM), (MOST, PERIOD)] {
        let now = Instant::now();
        let mut machine = Machine::new(Found::default(), now);
        let names: Vec<String> = (0..=listed).map(|number| format!("node{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        look_twice(&mut machine, || looked(wrong(&names[..listed]), 1), now);
        machine.on(looked(wrong(&names), 1), now);
        assert_eq!(machine.due(), now + period, "{listed} were reported");
    }
}

#[test]
fn what_an_agent_that_starts_puts_right_by_itself_is_reported_once_it_had_the_time() {
    let start = Instant::now();
    let mut machine = Machine::new(Found::default(), start);
    let found = || {
        let conditions = [Kind::RouteMissing, Kind::PluginMissing, Kind::ForwardDrop].map(|kind| {
            let condition = Condition::new(kind, kind.name(), "so it is");
            if kind == Kind::RouteMissing { condition.fixed_by(Fix::WakeAgent) } else { condition }
        });
        looked(Ok(Finding::Wrong(conditions.into())), 1)
    };
    look_twice(&mut machine, found, start);
    machine.on(found(), after(start, 2900));
    assert_eq!(subjects(&machine), ["forward-drop"], "an agent does not change others' rules");
    assert_eq!(machine.due(), after(start, 3400), "soon looked at again");
    machine.on(found(), after(start, 3400));
    assert_eq!(subjects(&machine), ["route-missing", "forward-drop", "plugin-missing"]);
}

#[test]
fn a_check_that_cannot_run_clears_nothing_and_is_reported_as_unknown() {
    let start = Instant::now();
    let mut machine = Machine::new(Found::default(), start);
    look_twice(&mut machine, || looked(wrong(&["IPv4"]), 1), start);
    machine.on(looked(Err("no permission".into()), 1), start);
    assert_eq!(subjects(&machine), ["IPv4"]);
    let unknown = UnknownCheck { check: "forwarding".into(), why: "no permission".into() };
    assert_eq!(machine.found().unknown, [unknown]);
    machine.on(looked(wrong(&[]), 1), start);
    assert_eq!(machine.found(), Found::default());
}

#[test]
fn a_part_that_is_started_again_reports_at_its_first_look_what_it_had_reported() {
    let start = Instant::now();
    let mut machine = Machine::new(Found::default(), start);
    look_twice(&mut machine, || looked(wrong(&["IPv4"]), 1), start);
    let mut again = Machine::new(machine.found(), start);
    again.on(looked(wrong(&["IPv4"]), 1), start);
    assert_eq!(subjects(&again), ["IPv4"]);
}

#[test]
fn of_a_thousand_conditions_of_one_kind_a_few_are_reported_and_the_number_of_the_others() {
    let start = Instant::now();
    let names: Vec<String> = (0..1000).map(|number| format!("10.0.{number}.0/24")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut machine = Machine::new(Found::default(), start);
    look_twice(&mut machine, || looked(wrong(&names), 1), start);
    let found = machine.found().conditions;
    assert_eq!(found.len(), MOST + 1);
    assert!(found.iter().any(|condition| condition.wrong.starts_with("980 more")));
}

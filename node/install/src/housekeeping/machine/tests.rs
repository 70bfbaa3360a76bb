//! The machine alone: the test is the file system.

use std::sync::Arc;

use super::*;

fn position(number: u8, routed: bool) -> Position {
    Position {
        others: Arc::new([("n2".into(), "10.244.9.0/24".parse().unwrap())]),
        own: vec![cidr(number)],
        draining: vec!["10.244.7.0/24".parse().unwrap()],
        leased: vec!["10.244.7.2".parse().unwrap()],
        host_source: Vec::new(),
        routed,
    }
}

fn cidr(number: u8) -> IpNetwork {
    format!("10.244.{number}.0/24").parse().unwrap()
}

fn works(request: &Request) -> Answer {
    match request {
        Request::Binaries | Request::Conflist { .. } => Answer::Done(Ok(())),
        Request::Winners => Answer::Winners(Ok(Vec::new())),
        Request::Pools => Answer::Pools(Ok((Vec::new(), Vec::new()))),
    }
}

/// Answers until nothing is asked any more; what was asked, and what was published.
fn run(machine: &mut Machine, event: Event, answer: impl Fn(&Request) -> Answer) -> (Vec<Request>, Vec<FilesState>) {
    let (mut asked, mut published, mut event) = (Vec::new(), Vec::new(), Some(event));
    while let Some(action) = event.take().and_then(|event| machine.on(event)) {
        match action {
            Action::Ask(number, request) => {
                event = Some(Event::Answered(number, answer(&request)));
                asked.push(request);
            }
            Action::Publish(state) => {
                published.push(state);
                event = Some(Event::Published);
            }
        }
    }
    (asked, published)
}

#[test]
fn the_conflist_is_written_after_the_binaries_and_only_once_the_own_routes_are_in() {
    let mut machine = Machine::default();
    let (asked, published) = run(&mut machine, Event::Position(position(1, false)), works);
    assert_eq!(asked, [Request::Binaries, Request::Winners, Request::Pools]);
    assert_eq!(published, [FilesState::default()]);
    let (asked, published) = run(&mut machine, Event::Position(position(1, true)), works);
    let conflist = Request::Conflist { own: vec![cidr(1)], host_source: Vec::new() };
    assert_eq!(asked, [Request::Binaries, conflist, Request::Winners, Request::Pools]);
    assert_eq!(published, [FilesState { routed: true, ..FilesState::default() }]);
}

#[test]
fn what_fails_is_a_warning_and_stops_nothing_else() {
    let (asked, published) =
        run(&mut Machine::default(), Event::Position(position(1, true)), |request| match request {
            Request::Winners => Answer::Winners(Err("w".to_owned())),
            Request::Pools => Answer::Pools(Err("p".to_owned())),
            Request::Binaries => Answer::Done(Err("b".to_owned())),
            Request::Conflist { .. } => Answer::Done(Err("c".to_owned())),
        });
    assert_eq!(asked.len(), 4);
    assert_eq!(published[0].warnings, ["b", "c", "w", "p"]);
}

#[test]
fn pools_are_judged_by_the_position_and_leases_that_drain_are_no_danger() {
    let answer = |request: &Request| match request {
        Request::Pools => {
            let pool = Pool { subnet: cidr(9), file: "10-podlan.conflist".to_owned() };
            Answer::Pools(Ok((vec![pool], vec!["unread".to_owned()])))
        }
        Request::Winners => Answer::Winners(Ok(vec!["05-other.conflist".to_owned()])),
        other => works(other),
    };
    let (_, published) = run(&mut Machine::default(), Event::Position(position(1, true)), answer);
    let FilesState { dangers, warnings, .. } = &published[0];
    assert_eq!((dangers.grave.len(), dangers.slight.len()), (1, 0), "{dangers:?}");
    assert!(warnings[0].starts_with("the runtime takes 05-other.conflist before") && warnings[1] == "unread");
}

#[test]
fn a_position_that_comes_during_a_check_is_checked_after_it_and_a_late_result_is_ignored() {
    let mut machine = Machine::default();
    let Some(Action::Ask(first, Request::Binaries)) = machine.on(Event::Position(position(1, true))) else { panic!() };
    assert_eq!(machine.on(Event::Position(position(2, true))), None, "one check at a time");
    assert_eq!(machine.on(Event::Position(position(3, true))), None);
    let (asked, published) = run(&mut machine, Event::Answered(first, works(&Request::Binaries)), works);
    let owns = asked.iter().filter_map(|request| match request {
        Request::Conflist { own, .. } => Some(own[0]),
        _ => None,
    });
    assert_eq!((owns.collect::<Vec<_>>(), published.len()), (vec![cidr(1), cidr(3)], 2), "the last one counts");
    machine.on(Event::Position(position(4, true)));
    assert_eq!(machine.on(Event::Answered(first, works(&Request::Pools))), None);
}

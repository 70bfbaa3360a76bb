//! The machine in virtual time: the test is the stores, and answers at once, late, or never.

use std::path::Path;

use proptest::prelude::*;

use super::super::Asked;
use super::*;
use crate::leases::LeaseCounts;
use crate::leases::sweep::{NetworkLeases, Swept};

const EVERY: Duration = Duration::from_secs(600);

/// A machine, its time, and what came out of it.
struct Run {
    machine: Machine,
    start: Instant,
    now: Instant,
    stores: Vec<&'static str>,
    jobs: VecDeque<Job>,
    /// Those that do not answer.
    hung: Vec<&'static str>,
    /// When each sweep began.
    begun: Vec<Duration>,
    published: Vec<LeaseCounts>,
    listens: usize,
    can_listen: bool,
}

impl Run {
    fn new(stores: &[&'static str]) -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(EVERY, now),
            start: now,
            now,
            stores: stores.to_vec(),
            jobs: VecDeque::new(),
            hung: Vec::new(),
            begun: Vec::new(),
            published: Vec::new(),
            listens: 0,
            can_listen: true,
        }
    }

    /// One that has swept once, and forgotten when.
    fn rested(stores: &[&'static str]) -> Self {
        let mut run = Self::new(stores);
        run.on(Event::Tick);
        run.begun.clear();
        run.published.clear();
        run
    }

    fn on(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.on(event, self.now) {
                match action {
                    Action::Listen => {
                        self.listens += 1;
                        events.push_back(Event::Listening(self.can_listen));
                    }
                    Action::List(number) => {
                        self.begun.push(self.now - self.start);
                        let listed = self.stores.iter().map(PathBuf::from).collect();
                        events.push_back(Event::Listed(number, Ok(listed)));
                    }
                    Action::LookAt(job, ..) => {
                        assert!(
                            self.jobs.iter().all(|other| other.directory != job.directory),
                            "two jobs of one store"
                        );
                        if self.hung.iter().any(|hung| Path::new(hung) == job.directory) {
                            self.jobs.push_back(job);
                        } else {
                            events.push_back(holds(job, 1));
                        }
                    }
                    Action::Publish(counts) => self.published.push(counts),
                }
            }
        }
    }

    /// Lets the time pass to `until` after the start.
    fn sleep_until(&mut self, until: Duration) {
        while let Some(due) = self.machine.due().filter(|due| *due <= self.start + until) {
            self.now = self.now.max(due);
            self.on(Event::Tick);
        }
        self.now = self.start + until;
    }

    fn last(&self) -> &LeaseCounts {
        self.published.last().unwrap()
    }
}

fn holds(job: Job, alive: u64) -> Event {
    let network = job.directory.display().to_string();
    let swept = Swept { counts: NetworkLeases { network, alive, unknown: 0 }, ..Swept::default() };
    Event::Looked(job, Looked::Network { swept, rooms: None, visible: Default::default() })
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_wake_up_is_followed_by_a_sweep_after_the_settle_time_and_by_one_more_after_a_second() {
    let mut run = Run::rested(&["a"]);
    run.on(Event::Woken);
    run.sleep_until(EVERY - ms(1));
    assert_eq!(run.begun, [SETTLE, SETTLE + AGAIN]);
    run.sleep_until(2 * EVERY);
    assert_eq!(run.begun[2..], [SETTLE + AGAIN + EVERY], "and then at intervals again");
}

#[test]
fn a_wake_up_while_another_one_settles_has_a_sweep_of_its_own() {
    let mut run = Run::rested(&["a"]);
    run.on(Event::Woken);
    for millis in [10, 20, 30] {
        run.sleep_until(ms(millis));
        run.on(Event::Woken);
    }
    run.sleep_until(ms(5000));
    assert_eq!(run.begun, [ms(50), ms(80), ms(1080)]);
}

#[test]
fn what_is_asked_while_a_sweep_is_under_way_is_swept_for_after_it() {
    let mut run = Run::rested(&["a"]);
    run.hung = vec!["a"];
    run.on(Event::Asked(Asked::default()));
    run.sleep_until(ms(100));
    run.on(Event::Asked(Asked::default()));
    assert_eq!(run.begun.len(), 1);
    let job = run.jobs.pop_front().unwrap();
    run.on(holds(job.clone(), 1));
    assert_eq!(run.begun, [ms(0), ms(100)]);
    let before = run.published.len();
    run.on(holds(job, 99));
    assert_eq!(run.published.len(), before, "the result of an earlier sweep is ignored");
    let job = run.jobs.pop_front().unwrap();
    run.on(holds(job, 1));
    let since = run.start + ms(100);
    assert!(run.last().begun.is_some_and(|begun| begun >= since), "what is published last began after the question");
}

#[test]
fn a_store_that_hangs_keeps_the_others_waiting_for_one_turn_and_is_not_asked_again_until_it_has_answered() {
    let mut run = Run::rested(&["a", "b"]);
    run.hung = vec!["a"];
    run.on(Event::Asked(Asked::default()));
    assert!(run.published.is_empty());
    run.sleep_until(TURN);
    let last = run.last();
    assert_eq!(last.leases.len(), 1, "b is counted");
    assert_eq!(last.warnings, ["failed to look after the leases of a: a does not answer"]);
    assert!(!last.stores[0].is_read && last.stores[0].addresses.is_some(), "what it held last stands");
    run.sleep_until(TURN + 3 * AGAIN);
    assert_eq!(run.begun, [ms(0), ms(2000), ms(3000), ms(4000)], "every second, and without a turn for a");
    assert_eq!(run.jobs.len(), 1);
    // The late answer is ignored; the next sweep asks again.
    run.hung.clear();
    let job = run.jobs.pop_front().unwrap();
    let before = run.published.len();
    run.on(holds(job, 99));
    assert_eq!(run.published.len(), before);
    run.sleep_until(TURN + 4 * AGAIN);
    let alive: Vec<u64> = run.last().leases.iter().map(|leases| leases.alive).collect();
    assert_eq!((alive, run.last().warnings.len()), (vec![1, 1], 0));
}

#[test]
fn without_wake_ups_the_leases_are_swept_every_second_and_listening_is_tried_each_time() {
    let mut run = Run::new(&["a"]);
    run.can_listen = false;
    run.sleep_until(ms(3500));
    assert_eq!((run.begun.len(), run.listens), (4, 4));
    run.can_listen = true;
    run.sleep_until(ms(60_000));
    assert_eq!((run.begun.len(), run.listens), (5, 5));
    run.on(Event::Deaf);
    run.sleep_until(ms(61_000));
    assert_eq!((run.begun.len(), run.listens), (6, 6), "a second after they broke off");
}

#[test]
fn a_directory_that_cannot_be_listed_says_nothing_of_the_leases() {
    let mut machine = Machine::new(EVERY, Instant::now());
    let now = Instant::now();
    machine.on(Event::Tick, now);
    let actions = machine.on(Event::Listed(1, Err("no".to_owned())), now);
    let [Action::Publish(counts)] = &actions[..] else { panic!("{actions:?}") };
    assert!(!counts.is_listed && counts.warnings == ["failed to look after the leases: no"]);
    assert!(machine.on(Event::Listed(1, Ok(Vec::new())), now).is_empty(), "an answer that is late");
}

proptest! {
    /// Whatever happens in whatever order: sweeps are published in the order in which they began, no store has two jobs,
    /// and once every store answers, a wake-up has been followed by a sweep that began after it.
    #[test]
    fn sweeps_are_published_in_order_and_no_wake_up_is_lost(steps in prop::collection::vec((0_u8..7, 0_u64..400), 1..60)) {
        let mut run = Run::new(&["a", "b", "c"]);
        run.on(Event::Tick);
        let mut woken = run.start;
        for (step, millis) in steps {
            run.sleep_until(run.now - run.start + ms(millis));
            match step {
                0 => {
                    run.on(Event::Woken);
                    woken = run.now;
                }
                1 => run.on(Event::Asked(Asked::default())),
                2 => run.hung = vec!["a", "c"],
                3 => run.hung = vec!["b"],
                4 => run.hung.clear(),
                5 => run.on(Event::Deaf),
                _ => if let Some(job) = run.jobs.pop_front() {
                    run.on(holds(job, 2));
                },
            }
        }
        run.hung.clear();
        while let Some(job) = run.jobs.pop_front() {
            run.on(holds(job, 3));
        }
        run.sleep_until(run.now - run.start + ms(3000));
        let begun: Vec<_> = run.published.iter().filter_map(|counts| counts.begun).collect();
        prop_assert!(begun.is_sorted(), "{begun:?}");
        prop_assert!(begun.last().is_some_and(|begun| *begun >= woken));
        prop_assert!(run.last().warnings.is_empty());
    }
}

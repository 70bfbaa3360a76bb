//! The machine in virtual time: the test is the directory.

use super::*;
use crate::Snapshot;

const RESYNC: Duration = Duration::from_secs(30);

/// A machine, its time, and what came out of it.
struct Run {
    machine: Machine,
    start: Instant,
    now: Instant,
    can_watch: bool,
    unread: bool,
    /// Readings are not answered.
    hangs: bool,
    waiting: Vec<u64>,
    /// Milliseconds, and whether it was asked for.
    reads: Vec<(u128, bool)>,
    watches: Vec<bool>,
    published: usize,
}

impl Run {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(RESYNC, now),
            start: now,
            now,
            can_watch: true,
            unread: false,
            hangs: false,
            waiting: Vec::new(),
            reads: Vec::new(),
            watches: Vec::new(),
            published: 0,
        }
    }

    fn on(&mut self, event: Event) {
        let mut events = vec![event];
        while !events.is_empty() {
            for action in self.machine.on(events.remove(0), self.now) {
                match action {
                    Action::Watch { only_if_moved } => {
                        self.watches.push(only_if_moved);
                        events.push(Event::Watched(self.can_watch));
                    }
                    Action::Read { number, asked } => {
                        self.reads.push(((self.now - self.start).as_millis(), asked));
                        if self.hangs {
                            self.waiting.push(number);
                        } else {
                            events.push(self.read(number));
                        }
                    }
                    Action::Publish(_) => self.published += 1,
                }
            }
        }
    }

    fn read(&self, number: u64) -> Event {
        let report = Some(Ok(Snapshot::new(Vec::new(), self.now)));
        Event::Read { number, report, unread: self.unread }
    }

    fn sleep_until(&mut self, millis: u64) {
        let until = self.start + Duration::from_millis(millis);
        while let Some(due) = self.machine.due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.on(Event::Tick);
        }
        self.now = until;
    }
}

#[test]
fn it_is_watched_and_read_at_once_then_after_each_change_and_at_intervals() {
    let mut run = Run::new();
    run.sleep_until(1000);
    run.on(Event::Noticed { gone: false });
    run.sleep_until(60_000);
    assert_eq!(run.reads, [(0, true), (1010, false), (30_000, false), (60_000, false)]);
    assert_eq!(run.watches, [false, true], "the way is looked at again after a change alone");
    assert_eq!(run.published, 4);
}

#[test]
fn the_changes_of_one_save_are_read_once_and_a_directory_that_is_never_quiet_is_read_all_the_same() {
    let mut run = Run::new();
    run.sleep_until(1000);
    for millis in [1000, 1005, 1010] {
        run.sleep_until(millis);
        run.on(Event::Noticed { gone: millis == 1005 });
    }
    run.sleep_until(2000);
    assert_eq!(run.reads[1..], [(1020, false)]);
    assert_eq!(run.watches, [false, false], "what is gone must be watched where it is now");
    for millis in 2000..2600 {
        run.sleep_until(millis);
        run.on(Event::Noticed { gone: false });
    }
    assert_eq!(run.reads[2..], [(2500, false)]);
}

#[test]
fn what_could_not_be_read_or_watched_is_tried_again_each_second() {
    let mut run = Run::new();
    run.unread = true;
    run.sleep_until(2500);
    assert_eq!(run.reads, [(0, true), (1000, false), (2000, false)]);
    assert_eq!(run.watches.len(), 1, "it is watched");
    (run.unread, run.can_watch) = (false, false);
    run.on(Event::Noticed { gone: true });
    run.sleep_until(5000);
    assert_eq!(run.reads[3..], [(2510, false), (3510, false), (4510, false)]);
    assert_eq!(run.watches.len(), 4, "each time");
    run.can_watch = true;
    run.sleep_until(20_000);
    assert_eq!(run.reads.len(), 7);
}

#[test]
fn a_question_while_it_is_read_has_a_reading_of_its_own_and_a_late_result_is_ignored() {
    let mut run = Run::new();
    run.hangs = true;
    run.on(Event::Tick);
    run.on(Event::Refresh);
    run.on(Event::Refresh);
    run.sleep_until(100_000);
    assert_eq!(run.reads, [(0, true)], "one reading at a time");
    run.on(run.read(1));
    assert_eq!((&run.reads[1..], run.published), (&[(100_000, true)][..], 1));
    run.on(run.read(1));
    assert_eq!(run.published, 1);
    run.on(run.read(2));
    assert_eq!(run.published, 2);
}

#[test]
fn a_question_is_answered_at_once_where_the_path_cannot_be_watched_too() {
    let mut run = Run::new();
    run.can_watch = false;
    run.sleep_until(100);
    run.on(Event::Refresh);
    assert_eq!(run.reads, [(0, true), (100, true)]);
}

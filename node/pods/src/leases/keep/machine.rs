//! When the leases are swept, and one store after the other: a state machine, (state, event, now) to (state, actions). It
//! reads no clock and starts no thread: [`super::keep`] carries out the actions and returns their results as events.
//!
//! A store that does not answer in time is late: the others go on, and it is not asked again until its old answer has come,
//! which is ignored. So there is at most one job for each store.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Pools;
use super::found::{Found, Memory};
use super::interface::{Action, Event, Job, Looked};

/// How long after a wake-up to sweep: the kernel takes a namespace apart piece by piece, and a DEL under way releases its
/// lease last.
pub(super) const SETTLE: Duration = Duration::from_millis(50);

/// When to sweep once more: a DEL may have been slow, or the store busy.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// How long one store may keep the others waiting.
pub(super) const TURN: Duration = Duration::from_secs(1);

/// The state.
#[derive(Debug)]
pub(super) struct Machine {
    every: Duration,
    pools: Option<Pools>,
    memory: Memory,
    is_listening: bool,
    /// Directories whose last job is not answered, and is not waited for any more.
    late: BTreeSet<PathBuf>,
    sweeps: u64,
    sweep: Option<Sweep>,
    is_asked: bool,
    /// After the wake-up that came first, and after those that came since.
    settled: Option<Instant>,
    settled_next: Option<Instant>,
    again: Option<Instant>,
    slow: Instant,
}

/// A sweep that is under way.
#[derive(Debug)]
struct Sweep {
    number: u64,
    /// A wake-up asked for it.
    is_woken: bool,
    found: Found,
    is_listed: bool,
    left: VecDeque<PathBuf>,
    /// The directory that is looked at, and when it is late.
    current: Option<(PathBuf, Instant)>,
}

impl Machine {
    /// The first sweep is due at once.
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self {
            every,
            pools: None,
            memory: Memory::default(),
            is_listening: false,
            late: BTreeSet::new(),
            sweeps: 0,
            sweep: None,
            is_asked: false,
            settled: None,
            settled_next: None,
            again: None,
            slow: now,
        }
    }

    /// When it wants [`Event::Tick`]; `None` while it waits for a result alone.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.sweep {
            Some(sweep) => sweep.current.as_ref().map(|(_, late)| *late),
            None => [self.settled, self.again].into_iter().flatten().chain([self.slow]).min(),
        }
    }

    /// Takes in an event.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Asked(asked) => (self.pools, self.is_asked) = (asked.pools, true),
            Event::Woken => {
                let next = if self.settled.is_none() { &mut self.settled } else { &mut self.settled_next };
                *next = Some(now + SETTLE);
            }
            Event::Deaf => (self.is_listening, self.again) = (false, Some(now + AGAIN)),
            Event::Listening(is_listening) => self.is_listening = is_listening,
            Event::Listed(number, listed) => self.listed(number, listed),
            Event::Looked(job, looked) => self.looked(job, looked),
            Event::Tick => self.give_up(now),
        }
        self.proceed(now, &mut actions);
        self.begin(now, &mut actions);
        actions
    }

    fn listed(&mut self, number: u64, listed: Result<Vec<PathBuf>, String>) {
        let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.number == number) else { return };
        sweep.is_listed = true;
        match listed {
            Ok(directories) => {
                self.memory.retain(&directories);
                sweep.found.listed();
                sweep.left = directories.into();
            }
            Err(error) => sweep.found.not_listed(&error),
        }
    }

    fn looked(&mut self, job: Job, looked: Looked) {
        let is_current = |sweep: &&mut Sweep| {
            sweep.number == job.sweep && sweep.current.as_ref().is_some_and(|(d, _)| *d == job.directory)
        };
        match self.sweep.as_mut().filter(is_current) {
            Some(sweep) => {
                sweep.current = None;
                sweep.found.take(&job.directory, looked, &mut self.memory);
            }
            // What it found is old by now.
            None => drop(self.late.remove(&job.directory)),
        }
    }

    fn give_up(&mut self, now: Instant) {
        let Some(sweep) = &mut self.sweep else { return };
        if let Some((directory, _)) = sweep.current.take_if(|(_, late)| *late <= now) {
            sweep.found.does_not_answer(&directory, &self.memory);
            self.late.insert(directory);
        }
    }

    /// Goes on to the next directory, or ends the sweep.
    fn proceed(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(sweep) = self.sweep.as_mut().filter(|sweep| sweep.is_listed && sweep.current.is_none()) else {
            return;
        };
        while let Some(directory) = sweep.left.pop_front() {
            if self.late.contains(&directory) {
                sweep.found.does_not_answer(&directory, &self.memory);
                continue;
            }
            let job = Job { sweep: sweep.number, directory: directory.clone() };
            sweep.current = Some((directory, now + TURN));
            actions.push(Action::LookAt(job, self.memory.visible.clone(), self.pools.clone()));
            return;
        }
        let Some(Sweep { found, is_woken, .. }) = self.sweep.take() else { return };
        let counts = found.counts(&self.memory.visible);
        self.slow = now + self.every;
        if !counts.warnings.is_empty() || !self.is_listening {
            self.again = Some(now + AGAIN.min(self.every));
        } else if is_woken {
            self.again = Some(now + AGAIN);
        }
        actions.push(Action::Publish(counts));
    }

    /// Begins a sweep where one is due.
    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.sweep.is_some() {
            return;
        }
        let is_woken = self.settled.take_if(|due| *due <= now).is_some();
        if is_woken {
            self.settled = self.settled_next.take();
        }
        let is_again = self.again.take_if(|due| *due <= now).is_some();
        let is_asked = std::mem::take(&mut self.is_asked);
        if is_woken || is_again || is_asked || self.slow <= now {
            self.sweeps += 1;
            let (number, found) = (self.sweeps, Found::begun(now));
            self.sweep =
                Some(Sweep { number, is_woken, found, is_listed: false, left: VecDeque::new(), current: None });
            if !self.is_listening {
                actions.push(Action::Listen);
            }
            actions.push(Action::List(number));
        }
    }
}

#[cfg(test)]
mod tests;

//! When a file, or a directory of files, is watched and read: a state machine, (state, event, now) to (state, actions). It
//! reads no clock and opens no file: [`super::run`] carries out the actions and returns their results as events.

use std::time::{Duration, Instant};

use crate::Report;

/// How long the directory must be quiet before it is read: an editor makes several changes of one save.
pub(super) const SETTLE: Duration = Duration::from_millis(10);

/// How long a directory that is never quiet is waited for.
pub(super) const LONGEST: Duration = Duration::from_millis(500);

/// How often a directory that cannot be watched, or a file that could not be read, is read.
pub(super) const BLIND: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Whether the path is watched now.
    Watched(bool),
    /// Something that decides what the path holds changed.
    Noticed {
        /// A watched directory is there no longer.
        gone: bool,
    },
    /// A snapshot of now is asked for.
    Refresh,
    /// The result of a reading.
    Read {
        /// Of the reading.
        number: u64,
        /// What is new.
        report: Option<Report>,
        /// Something could not be read.
        unread: bool,
    },
    /// [`Machine::due`] has come.
    Tick,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Watch the path as it is now; with `only_if_moved` an open watch stays where the way to the file is the same.
    Watch {
        /// Only where the way to the file is another than before.
        only_if_moved: bool,
    },
    /// Read the path; `asked`: report also what is not new.
    Read {
        /// Of this reading.
        number: u64,
        /// Report also what is not new.
        asked: bool,
    },
    /// Report to the agent.
    Publish(Report),
}

/// The state.
#[derive(Debug)]
pub struct Machine {
    resync: Duration,
    is_watched: bool,
    is_asked: bool,
    /// The last reading, and whether its result is waited for.
    number: u64,
    is_reading: bool,
    /// Changes that are not read yet.
    changes: Option<Changes>,
    /// When to read without a change.
    retry: Option<Instant>,
    slow: Instant,
}

#[derive(Debug)]
struct Changes {
    /// When the directory has been quiet for long enough, and until when that is waited for.
    quiet: Instant,
    latest: Instant,
    gone: bool,
}

impl Machine {
    /// The path is watched and read at once.
    pub fn new(resync: Duration, now: Instant) -> Self {
        Self {
            resync,
            is_watched: false,
            is_asked: true,
            number: 0,
            is_reading: false,
            changes: None,
            retry: Some(now),
            slow: now + resync,
        }
    }

    /// When it wants [`Event::Tick`]; `None` while it waits for a result alone.
    pub fn due(&self) -> Option<Instant> {
        let settled = self.changes.as_ref().map(|changes| changes.quiet.min(changes.latest));
        let dues = [settled, self.retry, Some(self.slow)].into_iter().flatten();
        dues.min().filter(|_| !self.is_reading)
    }

    /// Takes in an event.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Watched(is_watched) => self.is_watched = is_watched,
            Event::Noticed { gone } => {
                let quiet = now + SETTLE;
                let changes = self.changes.get_or_insert(Changes { quiet, latest: now + LONGEST, gone: false });
                changes.quiet = quiet;
                changes.gone |= gone;
            }
            Event::Refresh => self.is_asked = true,
            Event::Read { number, report, unread } if self.is_reading && number == self.number => {
                self.is_reading = false;
                // No change of the file will say that the process has descriptors again, or the disk an answer.
                self.retry = (unread || !self.is_watched).then(|| now + BLIND);
                actions.extend(report.map(Action::Publish));
            }
            Event::Read { .. } | Event::Tick => {}
        }
        if !self.is_reading {
            self.begin(now, &mut actions);
        }
        actions
    }

    /// Begins a reading where one is due.
    fn begin(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let changes = self.changes.take_if(|changes| changes.quiet.min(changes.latest) <= now);
        let is_again = self.retry.take_if(|retry| *retry <= now).is_some();
        let is_slow = self.slow <= now;
        if is_slow {
            self.slow = now + self.resync;
        }
        let is_asked = std::mem::take(&mut self.is_asked);
        if changes.is_none() && !is_again && !is_slow && !is_asked {
            return;
        }
        // Watched before it is read, so that no change falls between.
        match changes {
            _ if !self.is_watched => actions.push(Action::Watch { only_if_moved: false }),
            Some(changes) => actions.push(Action::Watch { only_if_moved: !changes.gone }),
            None => {}
        }
        self.number += 1;
        self.is_reading = true;
        actions.push(Action::Read { number: self.number, asked: is_asked });
    }
}

#[cfg(test)]
mod tests;

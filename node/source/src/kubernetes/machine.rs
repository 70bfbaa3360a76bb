//! When the nodes are listed and watched, what is published, and when to try again: a state machine, (state, event, now) to
//! (state, actions). It reads no clock and opens no connection: `drive` carries out the actions.
//!
//! A watch has a number. The results of any watch but the present one are ignored.

use std::time::{Duration, Instant};

use kube::runtime::watcher;

use super::NodeWatched;
use super::backoff::Backoff;
use super::list::{List, Pending};
use crate::{Error, MOST, Report};

/// How long a streamed list may take before the server counts as one that cannot stream: an old one ignores the
/// parameter and never marks the end of the list.
pub(super) const STREAMED: Duration = Duration::from_secs(30);

/// How long the watch is left alone before what changed is published: a node's start is several changes.
pub(super) const SETTLE: Duration = Duration::from_millis(20);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A result of the watch with this number.
    Watch(u64, WatchResult),
    /// A list of now is asked for.
    Refresh,
    /// [`Machine::due`] has come.
    Tick,
}

/// What a watch yields.
#[derive(Debug)]
pub enum WatchResult {
    /// A part of a list, or a change.
    Event(Box<watcher::Event<NodeWatched>>),
    /// The server refuses to stream a list.
    CannotStream,
    /// The watch failed.
    Failed(Error),
    /// The watch ended in good order.
    Ended,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// End the present watch.
    Leave,
    /// Connect, with the credentials as they are now, list and watch.
    Watch {
        /// The number of the watch.
        number: u64,
        /// Whether the list is streamed.
        streams: bool,
    },
    /// Report to the agent.
    Publish(Report),
    /// Log that lists are read in pages from now on.
    LogPages,
}

/// The state.
pub struct Machine {
    streams: bool,
    list: List,
    backoff: Backoff,
    number: u64,
    phase: Phase,
    /// When changes are published.
    settled: Option<Instant>,
    /// When a list that is streamed must be complete.
    listed_by: Option<Instant>,
}

enum Phase {
    Waiting { until: Instant },
    Watching,
}

impl Machine {
    /// The first watch is due at once. `seed` is for the jitter of the waits.
    pub fn new(streams: bool, seed: u64, now: Instant) -> Self {
        Self {
            streams,
            list: List::default(),
            backoff: Backoff::new(seed),
            number: 0,
            phase: Phase::Waiting { until: now },
            settled: None,
            listed_by: None,
        }
    }

    /// When it wants [`Event::Tick`]; `None` while it waits for the watch alone.
    pub fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Watching => self.settled.into_iter().chain(self.listed_by).min(),
        }
    }

    /// Takes in an event.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match (event, &self.phase) {
            (Event::Watch(number, result), Phase::Watching) if number == self.number => {
                self.result(result, now, &mut actions)
            }
            (Event::Watch(..), _) => {}
            (Event::Refresh, Phase::Watching) => {
                self.leave(now, &mut actions);
                self.watch(&mut actions);
            }
            (Event::Refresh, Phase::Waiting { .. }) => self.watch(&mut actions),
            (Event::Tick, Phase::Waiting { until }) => {
                if *until <= now {
                    self.watch(&mut actions);
                }
            }
            (Event::Tick, Phase::Watching) => {
                if self.settled.is_some_and(|settled| settled <= now) {
                    self.publish(now, &mut actions);
                }
                if self.listed_by.is_some_and(|listed_by| listed_by <= now) {
                    self.cannot_stream(now, &mut actions);
                }
            }
        }
        actions
    }

    fn result(&mut self, result: WatchResult, now: Instant, actions: &mut Vec<Action>) {
        match result {
            WatchResult::Event(event) => {
                let begins = matches!(*event, watcher::Event::Init);
                self.list.take(*event);
                if begins && self.streams {
                    self.listed_by = Some(now + STREAMED);
                }
                self.listed_by = self.listed_by.filter(|_| self.list.is_coming());
                self.settled = (self.list.pending() == Pending::Waits).then(|| now + SETTLE);
                if self.list.len() > MOST {
                    let why = format!("the API server lists more than {MOST} nodes");
                    self.failed(Error::Kubernetes { doing: "watch the nodes", why }, now, actions);
                }
            }
            WatchResult::CannotStream => self.cannot_stream(now, actions),
            WatchResult::Failed(error) => self.failed(error, now, actions),
            WatchResult::Ended => {
                self.leave(now, actions);
                self.watch(actions);
            }
        }
    }

    fn publish(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.settled = None;
        if self.list.pending() == Pending::Waits {
            actions.push(Action::Publish(Ok(self.list.publish(now))));
        }
    }

    /// Ends the watch. What it yielded before the end counts; an incomplete list does not.
    fn leave(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.publish(now, actions);
        self.list.leave();
        self.listed_by = None;
        actions.push(Action::Leave);
    }

    fn watch(&mut self, actions: &mut Vec<Action>) {
        self.number += 1;
        self.phase = Phase::Watching;
        actions.push(Action::Watch { number: self.number, streams: self.streams });
    }

    fn cannot_stream(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.leave(now, actions);
        self.streams = false;
        actions.push(Action::LogPages);
        self.watch(actions);
    }

    fn failed(&mut self, error: Error, now: Instant, actions: &mut Vec<Action>) {
        self.leave(now, actions);
        actions.push(Action::Publish(Err(error)));
        self.phase = Phase::Waiting { until: now + self.backoff.failed(now) };
    }
}

#[cfg(test)]
mod tests;

//! In which order the files are checked, and what follows from them: a state machine, (state, event) to (state, action). It
//! needs no time, because the loop says when to check, and it opens no file: [`super::keep`] carries out the actions.
//!
//! A check is for one position. A position that comes while one is under way is checked after it, and of several the last.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{FilesState, Position};
use crate::conflist::FILE;
use crate::pools::{Pool, judge};

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The files are to be checked for this position.
    Position(Position),
    /// The result of the request with this number.
    Answered(u64, Answer),
    /// What was to be published is.
    Published,
}

/// What is asked of the file system.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Install the binaries.
    Binaries,
    /// Write the conflist.
    Conflist { own: Vec<IpNetwork>, host_source: Vec<IpAddr> },
    /// Which configurations come before ours.
    Winners,
    /// Read the pools, and what could not be read of them.
    Pools,
}

/// The result of a request; an error is a warning.
#[derive(Debug)]
pub(super) enum Answer {
    Done(Result<(), String>),
    Winners(Result<Vec<String>, String>),
    Pools(Result<(Vec<Pool>, Vec<String>), String>),
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ask(u64, Request),
    Publish(FilesState),
}

/// The state.
#[derive(Debug, Default)]
pub(super) struct Machine {
    requests: u64,
    check: Option<Check>,
    /// The position that comes next.
    next: Option<Position>,
}

/// A check that is under way.
#[derive(Debug)]
struct Check {
    position: Position,
    step: Step,
    state: FilesState,
}

/// The request that is not answered yet.
#[derive(Clone, Copy, Debug)]
enum Step {
    Binaries,
    Conflist,
    Winners,
    Pools,
}

impl Machine {
    /// Takes in an event; what follows, if anything does.
    pub(super) fn on(&mut self, event: Event) -> Option<Action> {
        match event {
            Event::Position(position) => {
                self.next = Some(position);
                self.begin()
            }
            Event::Published => self.begin(),
            Event::Answered(number, answer) if number == self.requests => self.answered(answer),
            Event::Answered(..) => None,
        }
    }

    fn begin(&mut self) -> Option<Action> {
        if self.check.is_some() {
            return None;
        }
        let position = self.next.take()?;
        let state = FilesState { routed: position.routed, ..FilesState::default() };
        self.check = Some(Check { position, step: Step::Binaries, state });
        Some(self.ask(Request::Binaries))
    }

    fn ask(&mut self, request: Request) -> Action {
        self.requests += 1;
        Action::Ask(self.requests, request)
    }

    fn answered(&mut self, answer: Answer) -> Option<Action> {
        let Check { mut state, position, step } = self.check.take()?;
        match answer {
            Answer::Done(Ok(())) => {}
            Answer::Winners(Ok(winners)) => state.warnings.extend(
                winners.iter().map(|name| format!("the runtime takes {name} before {FILE}: it comes first by name")),
            ),
            Answer::Pools(pools) => {
                let (pools, warnings) = pools.unwrap_or_else(|error| (Vec::new(), vec![error]));
                state.warnings.extend(warnings);
                state.dangers = dangers(&pools, &position);
                return Some(Action::Publish(state));
            }
            Answer::Done(Err(error)) | Answer::Winners(Err(error)) => state.warnings.push(error),
        }
        let (step, request) = match step {
            // Pods may come only once the node's own routes are in.
            Step::Binaries if position.routed => {
                let (own, host_source) = (position.own.clone(), position.host_source.clone());
                (Step::Conflist, Request::Conflist { own, host_source })
            }
            Step::Binaries | Step::Conflist => (Step::Winners, Request::Winners),
            Step::Winners | Step::Pools => (Step::Pools, Request::Pools),
        };
        self.check = Some(Check { position, step, state });
        Some(self.ask(request))
    }
}

fn dangers(pools: &[Pool], position: &Position) -> crate::pools::Dangers {
    let others = position.others.iter().map(|(node, cidr)| (&**node, *cidr));
    let drained = |address: &IpAddr| position.draining.iter().any(|cidr| cidr.contains(*address));
    let leased: Vec<IpAddr> = position.leased.iter().copied().filter(|address| !drained(address)).collect();
    judge(pools, &leased, &position.own, others)
}

#[cfg(test)]
mod tests;

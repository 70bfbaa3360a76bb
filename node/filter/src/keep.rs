//! Keeps the rules in place: puts them there at the start, again when another program removed them (`nft flush ruleset`),
//! and compares them at intervals whatever the events say. A part of the agent.
//!
//! `machine` decides; this is its shell, which waits, asks the kernel and publishes.

mod events;
pub(crate) mod interface;
mod machine;
mod needs;
mod schedule;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hostport::Ports;
use parts::{Activity, Output};
use tokio::sync::watch;
use tokio::time::sleep_until;

use self::events::Events;
use self::interface::{Action, Answer, Event, Notice};
use self::machine::Machine;
use super::kernel::Kernel;
use super::{Drops, Egress, Forwarded, RuleStates, Sides};

/// What the names of our tables begin with, and the name of two of them.
pub(super) const TABLE: &str = "podlan";

/// What the agent is given for its rules.
#[derive(Clone)]
pub struct Options {
    /// How often all rules are compared, whatever events say.
    pub every: Duration,
    /// How often the counters of the source rule are read.
    pub count_every: Duration,
    /// Until the nodes are known.
    pub egress: Egress,
    /// Whether others' policies are answered.
    pub accepts: bool,
    /// The records of host ports.
    pub ports: Ports,
    /// What should be.
    pub wanted: watch::Receiver<Wanted>,
    /// The state of the rules.
    pub output: Output<Filtered>,
}

/// What should be, as the loop knows it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Counts the changes of `sides`.
    pub version: u64,
    /// None before the nodes are known, or where egress is not masqueraded.
    pub sides: Option<Sides>,
    /// None before the nodes are known.
    pub forwarded: Option<Forwarded>,
}

/// The state of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// Each rule.
    pub states: RuleStates,
    /// What the source rule has dropped; `None` where it cannot be asked.
    pub drops: Option<Drops>,
    /// The sides of this version, or of a later one, are in force, as far as the kernel obeys.
    pub version: u64,
}

/// Keeps the rules for ever; ends when the loop no longer says what should be.
pub async fn keep(options: Options, activity: Activity) -> String {
    let Options { every, count_every, egress, accepts, ports, mut wanted, output } = options;
    wanted.mark_changed();
    let mut machine = Machine::new(every, count_every, egress, accepts, Instant::now());
    let (mut kernel, mut events) = (Kernel::new(ports), None);
    loop {
        let event = tokio::select! {
            biased;
            changed = wanted.changed() => match changed {
                Ok(()) => Event::Wanted(wanted.borrow_and_update().clone()),
                Err(_closed) => return "nobody wants rules any more".to_owned(),
            },
            () = sleep_until(machine.due().into()) => Event::Tick,
            ready = Events::wait(events.as_ref()) => read(&mut events, ready, &kernel),
        };
        let _begun = activity.begin("the rules of the packet filter");
        let mut results = VecDeque::from([event]);
        while let Some(event) = results.pop_front() {
            for action in machine.on(event, Instant::now()) {
                match action {
                    Action::Ask(number, request) => {
                        let answer = kernel.carry_out(&request).unwrap_or_else(|| listen(&mut events));
                        results.push_back(Event::Answered(number, answer));
                    }
                    Action::Publish(filtered) => output.set(filtered),
                    Action::Log(notice) => log(notice),
                }
            }
        }
    }
}

fn listen(events: &mut Option<Events>) -> Answer {
    let opened = Events::open().map(|opened| *events = Some(opened));
    Answer::Listening(opened.map_err(|error| error.to_string()))
}

fn read(events: &mut Option<Events>, ready: std::io::Result<()>, kernel: &Kernel) -> Event {
    let read = match (ready, events.as_mut()) {
        (Ok(()), Some(open)) => open.read(kernel.port()).map_err(|error| error.to_string()),
        (Ok(()), None) => Ok(events::Changed::default()),
        (Err(error), _) => Err(error.to_string()),
    };
    match read {
        Ok(events::Changed { ours, ports, others }) => Event::TablesChanged { ours, ports, others },
        Err(error) => {
            *events = None;
            Event::Deaf(error)
        }
    }
}

fn log(notice: Notice) {
    match notice {
        Notice::Deaf(error) => tracing::debug!(error, "changes of the packet filter are not received"),
        Notice::Missing { rule, error } => tracing::warn!(rule, error, "a rule is not in place"),
        Notice::Restored => tracing::info!("somebody changed our rules; they are right again"),
        Notice::Collected(holder) => tracing::info!(holder, "the host ports of a pod that is gone were removed"),
        Notice::Unread(why) => tracing::warn!(why, "a record of host ports cannot be read"),
        // The agent's condition forward-drop says it.
        Notice::Dropped(finding) => tracing::debug!(%finding, "traffic between pods is dropped"),
        Notice::NotRead(error) => tracing::debug!(error, "the forward chains of other programs cannot be read"),
    }
}

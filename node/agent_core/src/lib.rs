//! The agent's decisions as a state machine: an event and the time go in, actions come out. It has no thread, channel, clock,
//! socket or file; the shell, `node/agent/src/agent.rs`, has them. Kernel work is an action whose outcome comes back as an event; only the
//! reconciler's turn asks the kernel in between, through the `Kernel` that [`Core::turn`] is given.
//!
//! An order that matters is an acknowledgement, never the order in which messages happen to arrive:
//!
//! | first | then | by |
//! |---|---|---|
//! | the masquerade sets have a node's pod CIDRs | the route to them | `Filtered::version` |
//! | the first whole list of nodes | the first change of a route | the phase |
//! | this node's own routes | `node.json` says so | `Turned` |
//! | `node.json` says so | the conflist | `PartReport::Written`, then `Position::routed` |
//! | the turn, and what it asked for | the state that reports it | `Turned`, `Mtu`, `Sources` |

mod action;
mod beginning;
mod conditions;
mod describe;
mod due;
mod event;
mod host_source;
mod journal;
mod kernel_access;
mod known;
mod own_cidrs;
mod part_reports;
mod pod_mtu;
mod position;
mod previous_agent;
mod probe_order;
mod publication;
mod running;
mod sides;
mod source_report;
mod turn;
mod warnings;

use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use routes::kernel::Kernel;
use routes::reconcile::Settings;
use state::{Clocks, State};

pub use action::{Action, Inner, Publication, TurnCounts};
use beginning::Beginning;
pub use event::{Event, Found, KernelEvents, MtuLook, PartReport, PreviousList, Turned, Written};
use known::Known;
pub use previous_agent::PreviousAgent;
use running::Running;

/// The time of an event.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// By the monotonic clock.
    pub at: Instant,
    /// The clocks that other programs read.
    pub clocks: Clocks,
}

/// What the core is given.
pub struct Given {
    /// What an operator decides on the routes.
    pub settings: Settings,
    /// The network of this node's pods.
    pub network: String,
    /// Whether the agent writes the conflist.
    pub writes_conflist: bool,
    /// Subnets outside of the cluster that are not masqueraded to; none where nothing is masqueraded.
    pub no_masquerade_to: Option<Vec<IpNetwork>>,
    /// How often everything is looked at, whatever events say.
    pub resync: Duration,
    /// What is published before anything else is known.
    pub state: State,
    /// What the agent before this one published, as far as it still holds.
    pub previous_agent: Option<PreviousAgent>,
}

/// The agent's state.
pub struct Core {
    known: Known,
    phase: Phase,
}

enum Phase {
    /// There is no whole list of nodes yet.
    Beginning(Beginning),
    Running(Box<Running>),
}

impl Core {
    /// The shell must deliver [`Event::Time`] first.
    pub fn new(given: Given, now: Now) -> Self {
        Self { known: Known::new(given, now), phase: Phase::Beginning(Beginning::NoList) }
    }

    /// Takes an event in; returns what must be done, in this order.
    pub fn on(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match &mut self.phase {
            Phase::Running(running) => running.on(&mut self.known, event, now, &mut actions),
            Phase::Beginning(beginning) => {
                if let Some(first) = beginning.on(&mut self.known, event, now, &mut actions) {
                    let running = Running::start(&mut self.known, first, now, &mut actions);
                    self.phase = Phase::Running(Box::new(running));
                }
            }
        }
        actions
    }

    /// When [`Event::Time`] must be delivered.
    pub fn due(&self) -> Instant {
        match &self.phase {
            Phase::Beginning(_) => self.known.heartbeat,
            Phase::Running(running) => running.due(&self.known),
        }
    }

    /// Whether [`Action::Turn`] still has something to do.
    pub fn wants_turn(&self) -> bool {
        matches!(&self.phase, Phase::Running(running) if running.wants_turn())
    }

    /// Carries out [`Action::Turn`]; `None` where there is nothing to do any more. The shell adds how long it took, and
    /// delivers the outcome as [`Event::Turned`].
    pub fn turn(&mut self, kernel: &mut impl Kernel) -> Option<Turned> {
        match &mut self.phase {
            Phase::Beginning(_) => None,
            Phase::Running(running) => running.turn(&self.known, kernel),
        }
    }

    /// The same where no kernel is to be had.
    pub fn turn_without_kernel(&mut self, error: netlink::Error) -> Option<Turned> {
        match &mut self.phase {
            Phase::Beginning(_) => None,
            Phase::Running(running) => running.turn_without_kernel(error),
        }
    }
}

impl Now {
    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        Self { at: Instant::now(), clocks: Clocks { unix: 1_000_000, boot: 1000 } }
    }
}

#[cfg(test)]
mod tests;

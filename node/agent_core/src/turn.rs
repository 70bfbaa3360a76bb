//! A turn of the reconciler: how much it is asked for, and what follows its outcome.

use std::cell::Cell;
use std::time::Duration;

use super::action::TurnCounts;
use super::event::Turned;
use super::known::Known;
use super::position;
use super::running::Running;
use super::{Action, Now, journal, pod_mtu};
use routes::kernel::Kernel;
use routes::plan::Change;
use routes::reconcile::Turn;

/// How much is asked for. Each task includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// Nothing but what was done.
    #[default]
    Nothing,
    /// The routes put back at once that are not as they should be.
    Heal,
    /// A turn, because what decides on the routes may have changed in the kernel.
    Reconsider,
    /// A turn.
    Turn,
    /// A turn and a look at everything else.
    Everything,
}

impl Task {
    /// Whether the kernel's events alone asked for it.
    fn is_by_events(self) -> bool {
        matches!(self, Self::Heal | Self::Reconsider)
    }
}

impl Running {
    /// Carries out what is asked for; `None` for nothing.
    pub(super) fn turn(&mut self, known: &Known, kernel: &mut impl Kernel) -> Option<Turned> {
        let task = self.take_task()?;
        let asks_for_leases = Cell::new(false);
        let leased = |cidr| {
            let may_hold = known.parts.lease_counts.may_hold(cidr, &known.network, known.own.since);
            asks_for_leases.set(asks_for_leases.get() || may_hold);
            may_hold
        };
        let turn = match task {
            Task::Heal => self.reconciler.heal(kernel),
            _ => self.reconciler.turn(kernel, &leased),
        };
        Some(Turned { task, turn, asks_for_leases: asks_for_leases.get(), took: Duration::ZERO, unreadable: 0 })
    }

    pub(super) fn turn_without_kernel(&mut self, error: netlink::Error) -> Option<Turned> {
        let task = self.take_task()?;
        Some(Turned { task, turn: Err(error), asks_for_leases: false, took: Duration::ZERO, unreadable: 0 })
    }

    /// Takes in the outcome of a turn, and asks for what follows it.
    pub(super) fn turned(&mut self, known: &mut Known, turned: Turned, now: Now, actions: &mut Vec<Action>) {
        let Turned { task, turn, asks_for_leases, took, unreadable } = turned;
        let (mut judged, mut looked) = (false, false);
        match turn {
            Ok(turn) => {
                actions.push(Action::CountTurn(counts(&turn, task, took)));
                journal::turn(&turn);
                known.kernel.answered(turn.looked.then_some(unreadable));
                // A former CIDR goes once a look at the leases that begins now finds none in it.
                self.ask_for_leases(known, asks_for_leases.then_some(known.own.since), actions);
                (judged, looked) = (turn.judged, turn.looked);
                if turn.applied.surprised {
                    self.due.retry_after(now.at);
                }
            }
            Err(error) => {
                known.kernel.failed(&error);
                self.reconciler.look_again();
                self.due.retry_after(now.at);
            }
        }
        // Events of the kernel's routes do not change who is inside.
        if !task.is_by_events() {
            self.set_sides(known, now, actions);
        }
        if task == Task::Everything {
            known.filter.set_forwarded(&known.settings.me, &self.reconciler, actions);
        }
        if judged || looked {
            let mtu = known.published.state.pod_mtus.last().copied();
            known.probes.set(&known.settings.me, &self.reconciler, mtu, actions);
        }
        if task != Task::Heal {
            self.due.pace.done(now.at, took);
        }
        self.is_tried = true;
        self.follow.looks |= task == Task::Everything || looked;
        self.follow.judged |= judged;
        if self.follow.looks || self.follow.judged {
            (self.follow.mtus, self.follow.awaits_mtu) = (true, true);
            actions.push(Action::AskMtu(pod_mtu::of_nodes(&self.reconciler)));
        } else {
            known.describe(&self.reconciler, now, actions);
        }
    }

    fn ask_for_leases(&mut self, known: &Known, since: Option<std::time::Instant>, actions: &mut Vec<Action>) {
        let since = since.max(self.leases_asked.since);
        let asked = position::leases(known, &self.reconciler, since);
        if self.leases_asked != asked {
            self.leases_asked = asked.clone();
            actions.push(Action::Leases(asked));
        }
    }
}

fn counts(turn: &Turn, task: Task, took: Duration) -> TurnCounts {
    let made = turn.applied.done.iter().filter(|change| !matches!(change, Change::Remove(_))).count();
    TurnCounts {
        changes: turn.applied.done.len() as u64,
        heals: if task.is_by_events() { made as u64 } else { 0 },
        took,
    }
}

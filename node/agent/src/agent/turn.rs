//! A turn of the reconciler, and what goes before and after it.

use std::cell::Cell;
use std::time::Instant;

use super::{Agent, Due, RETRY, Task, journal};
use routes::kernel::Rtnetlink;
use routes::kernel_event::{KernelEvent, kernel_event};
use routes::reconcile::{Asked, Reconciler, Turn};

/// How many datagrams of events are read before a turn: a flood must not keep the routes from being right.
const NEWS: usize = 512;

impl Agent {
    /// Reads the events that wait.
    pub(super) fn hear(&mut self, reconciler: &mut Reconciler, due: &mut Due) -> Task {
        let mut asked = Vec::new();
        if self.listener.take_lost() {
            asked.push(reconciler.hear(KernelEvent::Overflow));
        }
        let mut remain = true;
        for _ in 0..NEWS {
            let Some(events) = self.listener.read() else {
                remain = false;
                break;
            };
            let kernel_event =
                events.iter().filter_map(|event| kernel_event(event, reconciler.here())).collect::<Vec<_>>();
            asked.extend(kernel_event.into_iter().map(|kernel_event| reconciler.hear(kernel_event)));
        }
        // Events remain; edge-triggered readiness will not fire again.
        due.unread = remain.then(Instant::now);
        if asked.contains(&Asked::Turn) {
            due.pace.ask();
        }
        match asked.contains(&Asked::Heal) {
            _ if due.pace.is_due(Instant::now()) => Task::Reconsider,
            true => Task::Heal,
            false => Task::Nothing,
        }
    }

    pub(super) fn carry_out(&mut self, task: Task, reconciler: &mut Reconciler, due: &mut Due) {
        if task == Task::Nothing {
            return;
        }
        let began = Instant::now();
        let by_events = [Task::Heal, Task::Reconsider].contains(&task);
        let (mut judged, mut looked) = (false, false);
        match self.turn(task, reconciler) {
            Ok(turn) => {
                self.count(&turn, by_events, began.elapsed());
                journal::turn(&turn);
                (judged, looked) = (turn.judged, turn.looked);
                if turn.applied.surprised {
                    due.retry = Some(Instant::now() + RETRY);
                }
            }
            Err(error) => {
                let error = format!("the kernel could not be asked: failed to {error}");
                if self.kernel_trouble.as_ref() != Some(&error) {
                    tracing::warn!(error, "trying again");
                }
                self.kernel_trouble = Some(error);
                reconciler.look_again();
                due.retry = Some(Instant::now() + RETRY);
            }
        }
        // What the kernel's routes do changes nobody's side.
        if !by_events {
            self.set_sides(reconciler, None);
        }
        if task == Task::Everything {
            self.set_forwarded(reconciler);
        }
        let looks = task == Task::Everything || looked;
        if looks || judged {
            self.remember_mtu(reconciler);
        }
        if looks {
            self.look(reconciler);
        }
        if judged {
            self.publish_verdicts(reconciler);
        }
        self.describe(reconciler);
        if looks || judged {
            self.desk.mtus_asked.send_replace(self.state.pod_mtus.clone());
        }
        if task != Task::Heal {
            due.pace.done(Instant::now(), began.elapsed());
        }
    }

    /// A socket that failed is opened again by the next turn.
    fn turn(&mut self, task: Task, reconciler: &mut Reconciler) -> Result<Turn, netlink::Error> {
        let mut kernel = match self.kernel.take() {
            Some(kernel) => kernel,
            None => Rtnetlink::open()?,
        };
        let lease_counts = self.desk.lease_counts.borrow().clone();
        let unknown = Cell::new(false);
        let leased = |cidr| {
            let may_hold = lease_counts.may_hold(cidr, &self.network, self.judged_since);
            unknown.set(unknown.get() || may_hold);
            may_hold
        };
        let turn = match task {
            Task::Heal => reconciler.heal(&mut kernel)?,
            _ => reconciler.turn(&mut kernel, &leased)?,
        };
        if turn.looked {
            self.unreadable = kernel.take_unreadable();
        }
        self.kernel = Some(kernel);
        self.kernel_trouble = None;
        // A former CIDR goes once a look at the leases that begins now finds none in it.
        let since = Some(self.judged_since).filter(|_| unknown.get());
        self.ask_for_leases(reconciler, since);
        Ok(turn)
    }
}

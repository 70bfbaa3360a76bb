//! From the first whole list of nodes on: which event asks for which task, and what waits for which acknowledgement.

use std::net::IpAddr;
use std::time::Instant;

use super::due::Due;
use super::event::{Event, KernelEvents, PartReport};
use super::known::Known;
use super::pod_mtu::PodMtu;
use super::position::position;
use super::sides::{Gate, Passage, Waiting};
use super::turn::Task;
use super::{Action, Now, source_report};
use install::housekeeping::Position;
use nodes::Snapshot;
use pods::leases::{Asked, LeaseCounts};
use routes::kernel_event::{KernelEvent, kernel_event};
use routes::reconcile::{Asked as Wants, Reconciler};
use state::control::Command;

pub(super) struct Running {
    pub(super) reconciler: Reconciler,
    pub(super) due: Due,
    /// What the next turn is asked for.
    task: Task,
    /// The first turn waits for the packet filter. None once it has begun.
    first_turn: Option<Gate>,
    /// A snapshot that waits for the packet filter.
    waiting: Option<Waiting>,
    /// A turn was tried.
    pub(super) is_tried: bool,
    pub(super) follow: Follow,
    pod_mtu: PodMtu,
    /// What the files were looked after for last.
    position: Option<Position>,
    pub(super) leases_asked: Asked,
}

/// What is still to be done after a turn, each after the answer to what it needs.
#[derive(Default)]
pub(super) struct Follow {
    /// The files are looked after, once the MTU and this node's addresses are known.
    pub(super) looks: bool,
    /// The verdicts are published.
    pub(super) judged: bool,
    /// The pods follow the MTU, once the state has it.
    pub(super) mtus: bool,
    /// The MTU was asked for.
    pub(super) awaits_mtu: bool,
}

impl Running {
    /// Orders the masquerade sets for the first list; the first turn waits for them.
    pub(super) fn start(known: &mut Known, first: Snapshot, now: Now, actions: &mut Vec<Action>) -> Self {
        known.own.note(&first, &known.settings.me, now.at);
        let reconciler = Reconciler::new(known.settings.clone(), first);
        let gate = known.filter.set_sides(&known.settings.me, &reconciler, None, now.at, actions);
        let mut running = Self {
            reconciler,
            due: Due::new(known.resync, now.at),
            task: Task::Everything,
            first_turn: Some(gate),
            waiting: None,
            is_tried: false,
            follow: Follow::default(),
            pod_mtu: PodMtu::default(),
            position: None,
            leases_asked: Asked::default(),
        };
        running.open_gates(known, now, actions);
        running
    }

    pub(super) fn on(&mut self, known: &mut Known, event: Event, now: Now, actions: &mut Vec<Action>) {
        match event {
            Event::Report(Ok(snapshot)) => {
                source_report::succeeded(&mut known.published.state.source, &snapshot, now, actions);
                self.wait_until_inside(known, snapshot, now, actions);
            }
            Event::Report(Err(error)) => {
                source_report::failed(&mut known.published.state.source, &error, actions);
                self.describe(known, now, actions);
            }
            Event::KernelEvents(received) => self.take_events(known, received, now, actions),
            Event::Order(command) => self.order(command, actions),
            Event::Parts(reports) => self.parts(known, reports, now, actions),
            Event::PartTroubles(troubles) => {
                known.parts.troubles = troubles;
                self.describe(known, now, actions);
            }
            Event::Turned(turned) => self.turned(known, turned, now, actions),
            Event::Mtu(look) => {
                self.follow.awaits_mtu = false;
                self.pod_mtu.take(look, &mut known.published.state.pod_mtus);
                if self.follow.looks { actions.push(Action::AskSources) } else { self.finish(known, now, actions) }
            }
            Event::Sources(sources) => self.look(known, &sources, now, actions),
            Event::Time => self.time(known, now, actions),
            Event::PreviousList(_) => {}
        }
    }

    pub(super) fn due(&self, known: &Known) -> Instant {
        let gates = [self.first_turn, self.waiting.as_ref().map(|waiting| waiting.gate)];
        let gates = gates.into_iter().flatten().map(Gate::until);
        // A turn that is asked for already, and waits for a gate, needs no time.
        let pace = self.due.pace.due().filter(|_| self.task < Task::Reconsider);
        self.due.first(self.reconciler.guard(), gates.chain(pace).chain([known.heartbeat]))
    }

    pub(super) fn wants_turn(&self) -> bool {
        self.first_turn.is_none() && self.task != Task::Nothing
    }

    pub(super) fn take_task(&mut self) -> Option<Task> {
        self.wants_turn().then(|| std::mem::take(&mut self.task))
    }

    /// Asks for at least this much.
    fn want(&mut self, task: Task, actions: &mut Vec<Action>) {
        self.task = self.task.max(task);
        if task != Task::Nothing && self.wants_turn() {
            actions.push(Action::Turn);
        }
    }

    /// Takes a new snapshot once its nodes are inside.
    fn wait_until_inside(&mut self, known: &mut Known, snapshot: Snapshot, now: Now, actions: &mut Vec<Action>) {
        let me = &known.settings.me;
        let gate = known.filter.set_sides(me, &self.reconciler, Some(&snapshot), now.at, actions);
        let gate = gate.no_later_than(self.waiting.as_ref());
        self.waiting = Some(Waiting { snapshot, gate });
        self.open_gates(known, now, actions);
    }

    /// Orders the masquerade sets for all that is known. A snapshot that waits stays inside: its gate opens with any version
    /// from its own on.
    pub(super) fn set_sides(&self, known: &mut Known, now: Now, actions: &mut Vec<Action>) {
        let coming = self.waiting.as_ref().map(|waiting| &waiting.snapshot);
        known.filter.set_sides(&known.settings.me, &self.reconciler, coming, now.at, actions);
    }

    /// Begins what waits for the packet filter no longer; true where a snapshot was taken.
    fn open_gates(&mut self, known: &mut Known, now: Now, actions: &mut Vec<Action>) -> bool {
        let filtered = &known.parts.filtered;
        let opens = |gate: &mut Gate| gate.passage(filtered, now.at) == Passage::Open;
        if self.first_turn.take_if(|gate| opens(gate)).is_some() {
            self.want(Task::Everything, actions);
        }
        let Some(Waiting { snapshot, .. }) = self.waiting.take_if(|waiting| opens(&mut waiting.gate)) else {
            return false;
        };
        known.own.note(&snapshot, &known.settings.me, now.at);
        self.reconciler.learn(snapshot);
        self.want(Task::Everything, actions);
        true
    }

    fn take_events(&mut self, known: &mut Known, received: KernelEvents, now: Now, actions: &mut Vec<Action>) {
        let mut wants = Vec::new();
        if received.lost {
            wants.push(self.reconciler.take(KernelEvent::Overflow));
        }
        let here = self.reconciler.here();
        let events: Vec<_> = received.events.iter().filter_map(|event| kernel_event(event, here)).collect();
        wants.extend(events.into_iter().map(|event| self.reconciler.take(event)));
        if wants.contains(&Wants::Turn) {
            self.due.pace.ask();
        }
        if self.due.pace.is_due(now.at) {
            self.want(Task::Reconsider, actions);
        } else if wants.contains(&Wants::Heal) {
            self.want(Task::Heal, actions);
        }
        if known.kernel.take_events_trouble(received.trouble) {
            self.describe(known, now, actions);
        }
    }

    fn order(&mut self, command: Command, actions: &mut Vec<Action>) {
        match command {
            Command::Release => {
                let held = self.reconciler.release();
                actions.push(Action::Answer(if held { "released" } else { "nothing is held" }));
                if held {
                    tracing::info!("an operator released the held withdrawal, or the values that were kept");
                    self.want(Task::Everything, actions);
                }
            }
            Command::Look => {
                self.reconciler.look_again();
                actions.push(Action::Answer("looking"));
                self.want(Task::Everything, actions);
            }
            // The part that serves commands answers it.
            Command::State | Command::Log | Command::Metrics => {}
        }
    }

    /// However many report at once, how everything stands is published once.
    fn parts(&mut self, known: &mut Known, reports: Vec<PartReport>, now: Now, actions: &mut Vec<Action>) {
        let admitted = known.admits_pods();
        for report in reports {
            if let PartReport::Leases(lease_counts) = &report {
                self.count_leases(lease_counts, actions);
            }
            known.parts.take(report);
        }
        if !admitted && known.admits_pods() {
            // The conflist waits for it.
            self.look_soon(actions);
        }
        if !self.open_gates(known, now, actions) {
            self.describe(known, now, actions);
        }
    }

    fn count_leases(&mut self, lease_counts: &LeaseCounts, actions: &mut Vec<Action>) {
        if self.position.as_ref().is_some_and(|position| position.leased != lease_counts.addresses()) {
            // What is leased belongs to the judgement on the pools.
            self.look_soon(actions);
        }
        if self.reconciler.drains() {
            // The last lease of a former CIDR may have gone, and its route with it.
            self.reconciler.look_again();
            self.want(Task::Everything, actions);
        }
    }

    fn look_soon(&mut self, actions: &mut Vec<Action>) {
        self.follow.looks = true;
        actions.push(Action::AskSources);
    }

    /// Has the files looked after.
    fn look(&mut self, known: &mut Known, sources: &[IpAddr], now: Now, actions: &mut Vec<Action>) {
        self.follow.looks = false;
        let position = position(known, &self.reconciler, sources);
        self.position = Some(position.clone());
        actions.push(Action::Files(position));
        self.finish(known, now, actions);
    }

    /// Reports what a turn came to, after everything else.
    fn finish(&mut self, known: &mut Known, now: Now, actions: &mut Vec<Action>) {
        if self.follow.awaits_mtu {
            return self.describe(known, now, actions);
        }
        if std::mem::take(&mut self.follow.judged) {
            known.publish_verdicts(&self.reconciler, actions);
        }
        self.describe(known, now, actions);
        if std::mem::take(&mut self.follow.mtus) {
            actions.push(Action::PodMtus(known.published.state.pod_mtus.clone()));
        }
    }

    fn describe(&self, known: &mut Known, now: Now, actions: &mut Vec<Action>) {
        if self.is_tried {
            known.describe(&self.reconciler, now, actions);
        } else {
            known.publish_beginning(now, actions);
        }
    }

    fn time(&mut self, known: &mut Known, now: Now, actions: &mut Vec<Action>) {
        if self.due.take_retry(now.at) {
            self.want(Task::Turn, actions);
        }
        if self.due.pace.is_due(now.at) {
            self.want(Task::Reconsider, actions);
        }
        self.open_gates(known, now, actions);
        if self.due.take_hold_over(self.reconciler.guard(), now.at) {
            actions.push(Action::Refresh);
        }
        if self.due.take_resync(now.at) {
            self.reconciler.look_again();
            self.want(Task::Everything, actions);
        }
        if known.take_heartbeat(now) {
            self.describe(known, now, actions);
        }
    }
}

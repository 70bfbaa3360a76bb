//! The agent: one loop that does nothing that can block, and parts with threads of their own that can. A trigger (a report
//! of the source, events of the kernel, time, an operator, a part) becomes a turn of the reconciler, and what is now true is
//! published. All decisions are the reconciler's. Once it runs, only a signal ends it.

mod desk;
mod egress;
mod journal;
mod listen;
mod pod_mtu;
mod previous_agent;
mod publish;
mod signals;
mod state_files;
mod turn;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use netlink::InheritedMtu;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::control::Order;
use crate::http::{self, Served};
use crate::metrics::Metrics;
use desk::Desk;
pub(crate) use egress::NoMasqueradeTo;
use install::Install;
use listen::Listener;
use parts::Parts;
use parts::Spare;
use pods::leases::Stores;
use previous_agent::PreviousAgent;
use routes::guard::Guard;
use routes::kernel::Rtnetlink;
use routes::pace::Pace;
use routes::reconcile::{Reconciler, Settings};
pub(crate) use signals::Stop;
use source::{Report, Snapshot, Source};
use state::control::Command;
use state::{ConfiguredPaths, HEARTBEAT, RunDir, State};

/// How soon a turn is tried again that the netlink socket failed.
const RETRY: Duration = Duration::from_secs(1);

/// How often the parts are looked after.
const TEND: Duration = Duration::from_millis(250);

/// How long a new snapshot waits for the packet filter: the pods of a new node are inside before a route leads to them.
const SIDES: Duration = Duration::from_secs(2);

/// How long readiness waits for the first look at the files, which tells whether the pools are this node's.
const FILES: Duration = Duration::from_secs(2);

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("make the run directory {path}: {source}")]
    RunDir { path: String, source: io::Error },
    #[error("lock {path}: {source} (does another agent run?)")]
    Lock { path: String, source: io::Error },
    #[error("find the own binary: {0}")]
    Binary(#[source] io::Error),
    #[error("start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// What the agent is given.
pub(crate) struct Options {
    pub(crate) settings: Settings,
    pub(crate) source: Source,
    pub(crate) run_dir: RunDir,
    pub(crate) resync: Duration,
    /// Where health and metrics are served, if they are.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) stores: Stores,
    pub(crate) install: Install,
    pub(crate) egress: Option<NoMasqueradeTo>,
    /// Whether others' policies to drop are answered for this node's pods.
    pub(crate) accept_forward: bool,
    /// Whether forwarding that somebody switches off is switched on again.
    pub(crate) keep_forwarding: bool,
}

impl Options {
    /// Where things lie, for the operator's commands.
    fn configured_paths(&self) -> ConfiguredPaths {
        ConfiguredPaths {
            cni_bin_dir: self.install.bin_dir.clone(),
            cni_conf_dir: self.install.conf_dir.clone(),
            data_dir: Some(self.stores.data_dir().to_owned()),
        }
    }
}

/// The agent's own things: everything but the reconciler, which comes with the first snapshot.
pub(crate) struct Agent {
    settings: Settings,
    run_dir: RunDir,
    /// The network of this node's pods.
    network: String,
    /// What pods inherit, and what was looked at for it.
    inherited_mtu: Option<InheritedMtu>,
    state: State,
    /// Until this agent knows better.
    previous_agent: Option<PreviousAgent>,
    published: watch::Sender<State>,
    metrics: Arc<Metrics>,
    /// None while no socket can be had.
    kernel: Option<Rtnetlink>,
    /// Why the kernel cannot be asked.
    kernel_trouble: Option<String>,
    /// How many objects of the kernel's could not be read at the last look.
    unreadable: u64,
    listener: Listener,
    egress: Option<NoMasqueradeTo>,
    /// A snapshot that waits for the packet filter.
    waiting: Option<egress::Waiting>,
    /// A former CIDR is kept until a look at the leases that began after this says that it may go.
    judged_since: Instant,
    /// This node's CIDRs by the last snapshot.
    own: Vec<IpNetwork>,
    /// Until when the first look at the files is waited for.
    patient_until: Instant,
    parts: Parts,
    /// What is to be told of them.
    part_troubles: Vec<String>,
    desk: Desk,
    /// A digest of what was last written down of the nodes.
    remembered: Option<u64>,
}

/// What woke the agent.
enum Trigger {
    Report(Report),
    KernelEvents,
    Order(Order),
    Resync,
    Heartbeat,
    /// A held withdrawal is old enough for a snapshot of now to decide on it.
    HoldOver,
    /// A turn failed, or was surprised.
    Retry,
    /// An event asked for a turn a moment ago, and it is time.
    Reconsider,
    /// A part says something new.
    Part,
    /// The parts must be looked after.
    Tend,
    /// A snapshot has waited for the packet filter for long enough.
    WaitedEnough,
    Stop,
}

/// How much a trigger asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Nothing but what was done.
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

/// When a turn is next due without being asked for.
#[derive(Clone, Copy)]
struct Due {
    retry: Option<Instant>,
    /// Events wait, and readiness will not fire again for them.
    unread: Option<Instant>,
    /// Of turns that events ask for.
    pace: Pace,
    asked_at: Instant,
}

impl Agent {
    /// Runs until a signal ends it.
    pub(crate) async fn run(options: Options) -> Result<(), Error> {
        let mut stop = Stop::listen().map_err(Error::Runtime)?;
        let resync = options.resync;
        let mut agent = Self::start(options).await?;
        agent.publish();
        if let Some(first) = agent.first_snapshot(&mut stop).await {
            agent.reconcile(first, &mut stop, resync).await;
        }
        agent.parts.stop().await;
        Ok(())
    }

    /// Starts the parts. What is not to be had now is asked for again later.
    async fn start(options: Options) -> Result<Self, Error> {
        let now = Instant::now();
        let mut state = State::starting(&options.settings.me, &options.source.to_string());
        state.configured_paths = options.configured_paths();
        let metrics = Arc::new(Metrics::new());
        let (published, _) = watch::channel(state.clone());
        let [for_health, for_orders] = [Spare::default(), Spare::default()];
        if let Some(address) = options.listen {
            let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
            tokio::spawn(http::serve(
                listener,
                for_health,
                Served { state: published.subscribe(), metrics: metrics.clone() },
            ));
        }
        // Opened before anything is looked at, so that no change falls between.
        let listener = Listener::open();
        let said = publish::look_back(&options.run_dir).await;
        state.pod_mtus = said.as_ref().map(|said| said.pod_mtus.clone()).unwrap_or_default();
        let previous_agent = said.and_then(|said| publish::confirmed(said, &options.settings.me));
        state.routed = previous_agent.is_some();
        published.send_replace(state.clone());
        let mut parts = Parts::default();
        let desk = Desk::start(&mut parts, &options, &published, for_orders);
        Ok(Self {
            network: options.install.conflist.network,
            inherited_mtu: None,
            remembered: None,
            settings: options.settings,
            run_dir: options.run_dir,
            state,
            previous_agent,
            published,
            metrics,
            kernel: None,
            kernel_trouble: None,
            unreadable: 0,
            listener,
            egress: options.egress,
            waiting: None,
            judged_since: now,
            own: Vec::new(),
            patient_until: now + FILES,
            parts,
            part_troubles: Vec::new(),
            desk,
        })
    }

    /// Waits for the source's first whole snapshot; `None` when a signal ends the agent.
    async fn first_snapshot(&mut self, stop: &mut Stop) -> Option<Snapshot> {
        let (mut heartbeat, mut tend) = (interval(HEARTBEAT), interval(TEND));
        tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.wait() => return None,
                Some(report) = self.desk.reports.recv() => match report {
                    Ok(snapshot) => return Some(snapshot),
                    Err(error) => self.source_failed(&error),
                },
                Some((_, reply)) = self.desk.orders.recv() => {
                    // A client that hung up needs no answer.
                    let _ = reply.send("nothing to do: no whole list of nodes has come yet".to_owned());
                }
                _ = heartbeat.tick() => self.state.beat(),
                _ = tend.tick() => {
                    if !self.tend() {
                        continue;
                    }
                }
            }
            self.publish_beginning();
        }
    }

    /// Until a signal ends the agent.
    async fn reconcile(&mut self, mut first: Snapshot, stop: &mut Stop, resync: Duration) {
        self.source_succeeded(&first);
        self.recall(&mut first).await;
        self.note_own(&first);
        let mut reconciler = Reconciler::new(self.settings.clone(), first);
        let mut due = Due { retry: None, unread: None, pace: Pace::new(Instant::now()), asked_at: Instant::now() };
        let inside = self.set_sides(&reconciler, None);
        tokio::select! {
            () = stop.wait() => return,
            () = self.in_force(inside) => {}
        }
        self.carry_out(Task::Everything, &mut reconciler, &mut due);
        let (mut heartbeat, mut slow, mut tend) = (interval(HEARTBEAT), interval(resync), interval(TEND));
        for ticks in [&mut heartbeat, &mut slow, &mut tend] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        slow.tick().await;
        loop {
            let hold_over = match reconciler.guard() {
                Guard::Holding(held) if due.asked_at < held.until => Some(held.until),
                _ => None,
            };
            let waited = self.waiting.as_ref().map(|waiting| waiting.until);
            let trigger = tokio::select! {
                biased;
                () = stop.wait() => Trigger::Stop,
                () = self.listener.wait() => Trigger::KernelEvents,
                Some(report) = self.desk.reports.recv() => Trigger::Report(report),
                Some(order) = self.desk.orders.recv() => Trigger::Order(order),
                () = at(due.unread) => Trigger::KernelEvents,
                () = at(due.retry) => Trigger::Retry,
                () = at(due.pace.due()) => Trigger::Reconsider,
                () = self.desk.changed.notified() => Trigger::Part,
                () = at(waited) => Trigger::WaitedEnough,
                () = at(hold_over) => Trigger::HoldOver,
                _ = slow.tick() => Trigger::Resync,
                _ = heartbeat.tick() => Trigger::Heartbeat,
                _ = tend.tick() => Trigger::Tend,
            };
            if let Trigger::Stop = trigger {
                return;
            }
            let task = self.handle(trigger, &mut reconciler, &mut due);
            self.carry_out(task, &mut reconciler, &mut due);
        }
    }

    /// Takes in what woke the agent; says what is to be done about it.
    fn handle(&mut self, trigger: Trigger, reconciler: &mut Reconciler, due: &mut Due) -> Task {
        match trigger {
            Trigger::KernelEvents => self.hear(reconciler, due),
            Trigger::Report(Ok(snapshot)) => {
                self.source_succeeded(&snapshot);
                // Events that wait are older than what the turn will do.
                let heals = self.hear(reconciler, due);
                if self.learn_once_inside(snapshot, reconciler) { Task::Everything } else { heals }
            }
            Trigger::Report(Err(error)) => {
                self.source_failed(&error);
                self.describe(reconciler);
                Task::Nothing
            }
            Trigger::Order((Command::Release, reply)) => {
                let held = reconciler.release();
                // A client that hung up needs no answer.
                let _ = reply.send(if held { "released" } else { "nothing is held" }.to_owned());
                if held { Task::Everything } else { Task::Nothing }
            }
            // Answered where it is asked.
            Trigger::Order((Command::State, _)) => Task::Nothing,
            Trigger::Order((Command::Look, reply)) => {
                reconciler.look_again();
                // A client that hung up needs no answer.
                let _ = reply.send("looking".to_owned());
                Task::Everything
            }
            Trigger::Retry => {
                due.retry = None;
                self.hear(reconciler, due);
                Task::Turn
            }
            Trigger::Reconsider => {
                // What waits belongs to the same turn.
                self.hear(reconciler, due);
                Task::Reconsider
            }
            Trigger::Part => self.hear_parts(reconciler),
            Trigger::WaitedEnough => {
                tracing::warn!("the packet filter does not answer; the routes do not wait for it any longer");
                self.learn_what_waits(reconciler)
            }
            Trigger::HoldOver => {
                due.asked_at = Instant::now();
                self.desk.refresh.notify_one();
                Task::Nothing
            }
            Trigger::Resync => {
                reconciler.look_again();
                Task::Everything
            }
            Trigger::Heartbeat => {
                self.describe(reconciler);
                Task::Nothing
            }
            Trigger::Tend => {
                if self.tend() {
                    self.describe(reconciler);
                }
                Task::Nothing
            }
            Trigger::Stop => Task::Nothing,
        }
    }

    fn hear_parts(&mut self, reconciler: &mut Reconciler) -> Task {
        let counted = self.desk.lease_counts.has_changed().unwrap_or(false);
        self.desk.lease_counts.mark_unchanged();
        let leased = self.desk.lease_counts.borrow().addresses();
        if self.desk.position.borrow().as_ref().is_some_and(|position| position.leased != leased) {
            // What is leased belongs to the judgement on the pools.
            self.look(reconciler);
        }
        let drained = counted && reconciler.drains();
        if drained {
            // The last lease of a former CIDR may have gone, and its route with it.
            reconciler.look_again();
        }
        let learnt = if self.is_inside() { self.learn_what_waits(reconciler) } else { Task::Nothing };
        if drained || learnt == Task::Everything {
            return Task::Everything;
        }
        self.describe(reconciler);
        Task::Nothing
    }

    /// Looks after the parts; true when what is to be told of them is new.
    fn tend(&mut self) -> bool {
        let now = Instant::now();
        self.parts.tend(now);
        let troubles = self.parts.troubles(now);
        let is_new = troubles != self.part_troubles;
        self.part_troubles = troubles;
        is_new
    }
}

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

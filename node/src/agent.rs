//! The agent: one loop that does nothing that can block, and parts with threads of their own that can. A trigger (a report
//! of the source, events of the kernel, time, an operator, a part) becomes a turn of the reconciler, and what is now true is
//! published. All decisions are the reconciler's. Once it runs, only a signal ends it.

mod egress;
mod journal;
mod listen;
pub(crate) mod part;
mod pod_mtu;
mod predecessor;
mod publish;
mod signals;
mod tell;
mod turn;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::control::{self, Command, Order};
use crate::forwarding::keep::{self as forwarding, Forwarding};
use crate::http::{self, Served};
use crate::leases::{self, Census};
use crate::metrics::Metrics;
use crate::packet_filter::{self, Filtered, Wanted};
use crate::routes::guard::Guard;
use crate::routes::kernel::Rtnetlink;
use crate::routes::reconcile::{Reconciler, Settings};
use crate::source::{Report, Snapshot, Source};
use crate::state::{HEARTBEAT, RunDir, State};
use crate::upkeep::{self, Upkeep};
pub(crate) use egress::Spared;
use listen::Listener;
use part::{Output, Parts};
use predecessor::Predecessor;
use publish::Papers;
pub(crate) use signals::Stop;

/// How soon a turn is tried again that the netlink socket failed.
const RETRY: Duration = Duration::from_secs(1);

/// How often the parts are looked after.
const TEND: Duration = Duration::from_millis(250);

/// How long a new snapshot waits for the packet filter: the pods of a new node are inside before a route leads to them.
const SIDES: Duration = Duration::from_secs(2);

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
    pub(crate) upkeep: Upkeep,
    pub(crate) egress: Option<Spared>,
    /// Whether others' policies to drop are answered for this node's pods.
    pub(crate) accept_forward: bool,
    /// Whether forwarding that somebody switches off is switched on again.
    pub(crate) keep_forwarding: bool,
}

/// The agent's own things: everything but the reconciler, which comes with the first snapshot.
pub(crate) struct Agent {
    settings: Settings,
    run_dir: RunDir,
    upkeep: Upkeep,
    last_look: upkeep::Report,
    /// Pods whose links keep a former MTU of the node's, and why.
    former_mtu: Vec<String>,
    state: State,
    /// Until the first turn.
    predecessor: Option<Predecessor>,
    told: watch::Sender<State>,
    metrics: Arc<Metrics>,
    /// None while no socket can be had.
    kernel: Option<Rtnetlink>,
    /// Why the kernel cannot be asked, or not be listened to.
    kernel_trouble: Option<String>,
    listener: Listener,
    reports: mpsc::Receiver<Report>,
    orders: mpsc::Receiver<Order>,
    /// Asks the source for a snapshot of now.
    refresh: Arc<Notify>,
    parts: Parts,
    /// What is to be told of them.
    part_troubles: Vec<String>,
    /// Some part says something new.
    part_news: Arc<Notify>,
    wanted: watch::Sender<Wanted>,
    filtered: watch::Receiver<Filtered>,
    forwarding: watch::Receiver<Forwarding>,
    egress: Option<Spared>,
    /// A snapshot that waits for the packet filter.
    waiting: Option<egress::Waiting>,
    census: watch::Receiver<Census>,
    papers: watch::Sender<Papers>,
    /// What cannot be filed, and why.
    unfiled: watch::Receiver<Vec<String>>,
}

/// What woke the agent.
enum Trigger {
    Report(Report),
    News,
    Order(Order),
    Resync,
    Heartbeat,
    /// A held withdrawal is old enough for a snapshot of now to decide on it.
    HoldOver,
    /// A turn failed, or was surprised.
    Retry,
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
    /// A turn, because the kernel's routes are not as they should be.
    Heal,
    /// A turn.
    Turn,
    /// A turn and a look at everything else.
    Everything,
}

/// When a turn is next due without being asked for.
#[derive(Clone, Copy)]
struct Due {
    retry: Option<Instant>,
    asked_at: Instant,
}

impl Agent {
    /// Runs until a signal ends it.
    pub(crate) async fn run(options: Options) -> Result<(), Error> {
        let mut stop = Stop::listen().map_err(Error::Runtime)?;
        let resync = options.resync;
        let mut agent = Self::start(options).await?;
        agent.look_back().await;
        agent.tell();
        if let Some(first) = agent.first_snapshot(&mut stop).await {
            agent.reconcile(first, &mut stop, resync).await;
        }
        agent.parts.stop().await;
        Ok(())
    }

    /// Starts the parts. What is not to be had now is asked for again later.
    async fn start(options: Options) -> Result<Self, Error> {
        let Options { settings, source, run_dir, resync, listen, upkeep, egress, accept_forward, keep_forwarding } =
            options;
        let mut state = State::starting(&settings.me, &source.to_string());
        state.told = upkeep.told();
        let (told, _) = watch::channel(state.clone());
        let (refresh, metrics) = (Arc::new(Notify::new()), Arc::new(Metrics::new()));
        if let Some(address) = listen {
            let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
            tokio::spawn(http::serve(listener, Served { state: told.subscribe(), metrics: metrics.clone() }));
        }
        // Opened before anything is looked at, so that no change falls between.
        let listener = Listener::open();
        let (mut parts, part_news) = (Parts::new(), Arc::new(Notify::new()));

        let (order_sender, orders) = mpsc::channel(1);
        let socket = run_dir.control_socket();
        parts.start("control", move |activity| control::keep(socket.clone(), order_sender.clone(), activity));

        let (report_sender, reports) = mpsc::channel(1);
        let asked = refresh.clone();
        parts.start("source", move |activity| source.clone().run(report_sender.clone(), asked.clone(), activity));

        let (wanted, wanted_here) = watch::channel(Wanted::default());
        let (output, filtered) = Output::new(Filtered::default(), part_news.clone());
        let rules = packet_filter::Options {
            every: resync,
            egress: egress::at_first(egress.as_ref()),
            accepts: accept_forward,
            wanted: wanted_here,
            output,
        };
        parts.start("packet filter", move |activity| packet_filter::keep(rules.clone(), activity));

        let (output, forwarded) = Output::new(Forwarding::default(), part_news.clone());
        let switches = forwarding::Options { every: resync, keeps: keep_forwarding, output };
        parts.start("forwarding", move |activity| forwarding::keep(switches.clone(), activity));

        let (output, census) = Output::new(Census::default(), part_news.clone());
        let (stores, counted) = (upkeep.stores.clone(), metrics.clone());
        parts.start("leases", move |_activity| leases::keep(stores.clone(), resync, counted.clone(), output.clone()));

        let (papers, to_file) = watch::channel(Papers::default());
        let (output, unfiled) = Output::new(Vec::new(), part_news.clone());
        let home = run_dir.clone();
        parts.start("reports", move |activity| publish::keep(home.clone(), to_file.clone(), output.clone(), activity));

        Ok(Self {
            settings,
            run_dir,
            upkeep,
            last_look: upkeep::Report::default(),
            former_mtu: Vec::new(),
            state,
            predecessor: None,
            told,
            metrics,
            kernel: None,
            kernel_trouble: None,
            listener,
            reports,
            orders,
            refresh,
            parts,
            part_troubles: Vec::new(),
            part_news,
            wanted,
            filtered,
            forwarding: forwarded,
            egress,
            waiting: None,
            census,
            papers,
            unfiled,
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
                Some(report) = self.reports.recv() => match report {
                    Ok(snapshot) => return Some(snapshot),
                    Err(error) => self.source_failed(&error),
                },
                Some((_, reply)) = self.orders.recv() => {
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
            self.tell();
        }
    }

    /// Until a signal ends the agent.
    async fn reconcile(&mut self, mut first: Snapshot, stop: &mut Stop, resync: Duration) {
        self.source_succeeded(&first);
        self.recall(&mut first).await;
        let mut reconciler = Reconciler::new(self.settings.clone(), first);
        let mut due = Due { retry: None, asked_at: Instant::now() };
        self.predecessor = None;
        let inside = self.tell_sides(&reconciler, None);
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
                () = self.listener.wait() => Trigger::News,
                Some(report) = self.reports.recv() => Trigger::Report(report),
                Some(order) = self.orders.recv() => Trigger::Order(order),
                () = at(due.retry) => Trigger::Retry,
                () = self.part_news.notified() => Trigger::Part,
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
            Trigger::News => self.hear(reconciler, due),
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
            Trigger::Part => self.hear_parts(reconciler),
            Trigger::WaitedEnough => {
                tracing::warn!("the packet filter does not answer; the routes do not wait for it any longer");
                self.learn_what_waits(reconciler)
            }
            Trigger::HoldOver => {
                due.asked_at = Instant::now();
                self.refresh.notify_one();
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
        let counted = self.census.has_changed().unwrap_or(false);
        self.census.mark_unchanged();
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

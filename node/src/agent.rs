//! The agent: one thread, one loop. A trigger (a report of the source, news of the kernel, time, an operator) becomes a
//! turn of the reconciler, and what is now true is written down. All decisions are the reconciler's.

mod egress;
mod journal;
mod pod_mtu;
mod predecessor;
mod signals;
mod tell;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netlink::Monitor;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::control::{self, Command, Order};
use crate::http::{self, Served};
use crate::leases::{self, Census};
use crate::metrics::Metrics;
use crate::packet_filter::{self, PacketFilter, Shared};
use crate::readiness::Readiness;
use crate::routes::guard::Guard;
use crate::routes::kernel::Rtnetlink;
use crate::routes::news::news;
use crate::routes::reconcile::{Reconciler, Settings};
use crate::source::{Report, Snapshot, Source};
use crate::state::{HEARTBEAT, RunDir, State};
use crate::upkeep::{self, Upkeep};
pub(crate) use egress::Spared;
use predecessor::Predecessor;
pub(crate) use signals::Stop;

/// How soon a turn is tried again that the netlink socket failed.
const RETRY: Duration = Duration::from_secs(1);

/// How many datagrams of news are read before a turn: a flood must not keep the routes from being right.
const NEWS: usize = 512;

/// Why the agent cannot run.
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
    #[error("listen on {path}: {source}")]
    Control { path: String, source: io::Error },
    #[error("listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("write {path}: {source}")]
    State { path: String, source: io::Error },
    #[error("listen to the kernel: {0}")]
    Monitor(#[source] io::Error),
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
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
    kernel: Rtnetlink,
    monitor: Monitor,
    news: Readiness,
    reports: mpsc::Receiver<Report>,
    orders: mpsc::Receiver<Order>,
    /// Asks the source for a snapshot of now.
    refresh: Arc<Notify>,
    packet_filter: Shared,
    egress: Option<Spared>,
    census: watch::Receiver<Census>,
    /// A digest of what was last written down of the nodes.
    remembered: Option<u64>,
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
    /// The leases stand otherwise.
    Leases,
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
    /// Runs until it is told to stop.
    pub(crate) async fn run(options: Options) -> Result<(), Error> {
        let Options { settings, source, run_dir, resync, listen, upkeep, egress, accept_forward } = options;
        let mut stop = Stop::listen().map_err(Error::Runtime)?;
        let socket = run_dir.control_socket();
        let control =
            control::listen(&socket).map_err(|source| Error::Control { path: socket.display().to_string(), source })?;
        let (order_sender, orders) = mpsc::channel(1);
        let (report_sender, reports) = mpsc::channel(1);
        let packet_filter = Shared::new(PacketFilter::new(egress::at_first(egress.as_ref()), accept_forward));
        let mut state = State::starting(&settings.me, &source.to_string());
        state.told = upkeep.told();
        let (told, _) = watch::channel(state.clone());
        let (refresh, metrics) = (Arc::new(Notify::new()), Arc::new(Metrics::new()));
        // Opened before anything is looked at, so that no change falls between.
        let monitor = Monitor::open()?;
        let news = Readiness::of(monitor.as_fd()).map_err(Error::Monitor)?;
        let kernel = Rtnetlink::open()?;
        if let Some(address) = listen {
            let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
            tokio::spawn(http::serve(listener, Served { state: told.subscribe(), metrics: metrics.clone() }));
        }
        tokio::spawn(control::serve(control, order_sender));
        tokio::spawn(packet_filter::keep(resync, packet_filter.clone()));
        let (counted, census) = watch::channel(Census::default());
        tokio::spawn(leases::keep(upkeep.stores.clone(), resync, metrics.clone(), counted));
        tokio::spawn(source.run(report_sender, refresh.clone(), resync));
        let last_look = upkeep::Report::default();
        let mut agent = Self {
            settings,
            run_dir,
            upkeep,
            last_look,
            former_mtu: Vec::new(),
            state,
            predecessor: None,
            told,
            metrics,
            kernel,
            monitor,
            news,
            reports,
            orders,
            refresh,
            packet_filter,
            egress,
            census,
            remembered: None,
        };
        agent.look_back();
        agent.tell()?;
        let Some(first) = agent.first_snapshot(&mut stop).await? else { return Ok(()) };
        agent.reconcile(first, &mut stop, resync).await
    }

    /// Waits for the source's first whole snapshot; `None` when told to stop.
    async fn first_snapshot(&mut self, stop: &mut Stop) -> Result<Option<Snapshot>, Error> {
        let mut heartbeat = interval(HEARTBEAT);
        loop {
            tokio::select! {
                () = stop.wait() => return Ok(None),
                Some(report) = self.reports.recv() => match report {
                    Ok(snapshot) => return Ok(Some(snapshot)),
                    Err(error) => self.source_failed(&error),
                },
                Some((_, reply)) = self.orders.recv() => {
                    // A client that hung up needs no answer.
                    let _ = reply.send("nothing to do: no whole list of nodes has come yet".to_owned());
                }
                _ = heartbeat.tick() => self.state.beat(),
            }
            self.tell()?;
        }
    }

    async fn reconcile(&mut self, mut first: Snapshot, stop: &mut Stop, resync: Duration) -> Result<(), Error> {
        self.source_succeeded(&first);
        self.recall(&mut first)?;
        let mut reconciler = Reconciler::new(self.settings.clone(), first);
        let mut due = Due { retry: None, asked_at: Instant::now() };
        self.predecessor = None;
        self.carry_out(Task::Everything, &mut reconciler, &mut due)?;
        let mut heartbeat = interval(HEARTBEAT);
        let mut slow = interval(resync);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        slow.set_missed_tick_behavior(MissedTickBehavior::Delay);
        slow.tick().await;
        loop {
            let hold_over = match reconciler.guard() {
                Guard::Holding(held) if due.asked_at < held.until => Some(held.until),
                _ => None,
            };
            let trigger = tokio::select! {
                biased;
                () = stop.wait() => Trigger::Stop,
                news = self.news.wait() => news.map(|()| Trigger::News).map_err(Error::Monitor)?,
                Some(report) = self.reports.recv() => Trigger::Report(report),
                Some(order) = self.orders.recv() => Trigger::Order(order),
                () = at(due.retry) => Trigger::Retry,
                Ok(()) = self.census.changed() => Trigger::Leases,
                () = at(hold_over) => Trigger::HoldOver,
                _ = slow.tick() => Trigger::Resync,
                _ = heartbeat.tick() => Trigger::Heartbeat,
            };
            if let Trigger::Stop = trigger {
                return Ok(());
            }
            let task = self.handle(trigger, &mut reconciler, &mut due)?;
            self.carry_out(task, &mut reconciler, &mut due)?;
        }
    }

    /// Takes in what woke the agent; says what is to be done about it.
    fn handle(&mut self, trigger: Trigger, reconciler: &mut Reconciler, due: &mut Due) -> Result<Task, Error> {
        Ok(match trigger {
            Trigger::News => self.hear(reconciler, due)?,
            Trigger::Report(Ok(snapshot)) => {
                self.source_succeeded(&snapshot);
                // News that waits is older than what the turn will do.
                self.hear(reconciler, due)?;
                reconciler.learn(snapshot);
                Task::Everything
            }
            Trigger::Report(Err(error)) => {
                self.source_failed(&error);
                self.tell()?;
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
                self.hear(reconciler, due)?;
                Task::Turn
            }
            // The last lease of a former CIDR may have gone, and its route with it.
            Trigger::Leases if reconciler.drains() => {
                reconciler.look_again();
                Task::Everything
            }
            Trigger::Leases => {
                self.describe(reconciler)?;
                Task::Nothing
            }
            Trigger::HoldOver => {
                due.asked_at = Instant::now();
                self.refresh.notify_one();
                Task::Nothing
            }
            Trigger::Resync => {
                self.tell_drops();
                reconciler.look_again();
                Task::Everything
            }
            Trigger::Heartbeat => {
                self.tell_drops();
                self.describe(reconciler)?;
                Task::Nothing
            }
            Trigger::Stop => Task::Nothing,
        })
    }

    /// Reads the news that waits.
    fn hear(&mut self, reconciler: &mut Reconciler, due: &mut Due) -> Result<Task, Error> {
        let mut matters = false;
        for _ in 0..NEWS {
            let Some(events) = self.monitor.read()? else {
                return Ok(if matters { Task::Heal } else { Task::Nothing });
            };
            let news = events.iter().filter_map(|event| news(event, reconciler.here())).collect::<Vec<_>>();
            for news in news {
                matters |= reconciler.hear(news);
            }
        }
        // The rest waits, and no edge will tell of it.
        due.retry = Some(Instant::now());
        Ok(if matters { Task::Heal } else { Task::Nothing })
    }

    fn carry_out(&mut self, task: Task, reconciler: &mut Reconciler, due: &mut Due) -> Result<(), Error> {
        if task == Task::Nothing {
            return Ok(());
        }
        // Before a route leads to new pods they are inside.
        self.tell_sides(task, reconciler);
        let began = Instant::now();
        let stores = &self.upkeep.stores;
        let (mut judged, mut looked) = (false, false);
        match reconciler.turn(&mut self.kernel, &|cidr| stores.any_in(cidr)) {
            Ok(turn) => {
                self.count(&turn, task == Task::Heal, began.elapsed());
                journal::turn(&turn);
                (judged, looked) = (turn.judged, turn.looked);
                if turn.applied.surprised {
                    due.retry = Some(Instant::now() + RETRY);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the kernel could not be asked; trying again");
                reconciler.look_again();
                self.kernel = Rtnetlink::open()?;
                due.retry = Some(Instant::now() + RETRY);
            }
        }
        self.tell_sides(task, reconciler);
        if task == Task::Everything {
            self.tell_forwarded(reconciler);
        }
        let looks = task == Task::Everything || looked;
        if looks {
            self.look(reconciler);
        }
        if judged {
            self.tell_verdicts(reconciler)?;
        }
        self.describe(reconciler)?;
        // The conflist is there: the word that pods may come does not wait for those that are.
        if looks && self.follow_mtu() {
            self.describe(reconciler)?;
        }
        Ok(())
    }
}

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

//! The agent: one thread, one loop. A trigger (a report of the source, news of the kernel, time, an operator) becomes a
//! turn of the reconciler, and what is now true is written down. All decisions are the reconciler's.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netlink::Monitor;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::control::{self, Command, Order};
use crate::describe::{describe, lines};
use crate::readiness::Readiness;
use crate::routes::guard::Guard;
use crate::routes::kernel::Rtnetlink;
use crate::routes::news::news;
use crate::routes::plan::Change;
use crate::routes::reconcile::{Reconciler, Settings, Turn};
use crate::source::{Report, Snapshot, Source};
use crate::source_rule::{self, Standing};
use crate::state::{HEARTBEAT, RunDir, State, unix_now};

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
    #[error("start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("listen on {path}: {source}")]
    Control { path: String, source: io::Error },
    #[error("write {path}: {source}")]
    State { path: String, source: io::Error },
    #[error("listen to the kernel: {0}")]
    Monitor(#[source] io::Error),
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
}

/// The agent's own things: everything but the reconciler, which comes with the first snapshot.
pub(crate) struct Agent {
    settings: Settings,
    run_dir: RunDir,
    state: State,
    kernel: Rtnetlink,
    monitor: Monitor,
    news: Readiness,
    reports: mpsc::Receiver<Report>,
    orders: mpsc::Receiver<Order>,
    /// Asks the source for a snapshot of now.
    refresh: Arc<Notify>,
    source_rule: watch::Receiver<Standing>,
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
    Stop,
}

/// When a turn is next due without being asked for.
#[derive(Clone, Copy)]
struct Due {
    retry: Option<Instant>,
    asked_at: Instant,
}

impl Agent {
    /// Runs until it is told to stop.
    pub(crate) async fn run(
        settings: Settings,
        source: Source,
        run_dir: RunDir,
        resync: Duration,
    ) -> Result<(), Error> {
        let mut stop = Stop::new()?;
        let socket = run_dir.control_socket();
        let listener =
            control::listen(&socket).map_err(|source| Error::Control { path: socket.display().to_string(), source })?;
        let (order_sender, orders) = mpsc::channel(1);
        let (report_sender, reports) = mpsc::channel(1);
        let refresh = Arc::new(Notify::new());
        let state = State::starting(&settings.me, &source.to_string());
        // Opened before anything is looked at, so that no change falls between.
        let monitor = Monitor::open()?;
        let news = Readiness::of(monitor.as_fd()).map_err(Error::Monitor)?;
        let kernel = Rtnetlink::open()?;
        let (standing, source_rule) = watch::channel(Standing::Unknown);
        tokio::spawn(control::serve(listener, order_sender));
        tokio::spawn(source_rule::keep(resync, standing));
        tokio::spawn(source.run(report_sender, refresh.clone()));
        let mut agent = Self { settings, run_dir, state, kernel, monitor, news, reports, orders, refresh, source_rule };
        agent.write_state()?;
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
                    let _ = reply.send("nothing is held: no whole list of nodes has come yet".to_owned());
                }
                _ = heartbeat.tick() => self.state.beat(),
            }
            self.write_state()?;
        }
    }

    async fn reconcile(&mut self, first: Snapshot, stop: &mut Stop, resync: Duration) -> Result<(), Error> {
        self.source_succeeded(&first);
        let mut reconciler = Reconciler::new(self.settings.clone(), first);
        let mut due = Due { retry: None, asked_at: Instant::now() };
        self.turn(&mut reconciler, &mut due)?;
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
                () = at(hold_over) => Trigger::HoldOver,
                _ = slow.tick() => Trigger::Resync,
                _ = heartbeat.tick() => Trigger::Heartbeat,
            };
            match trigger {
                Trigger::Stop => return Ok(()),
                trigger => self.handle(trigger, &mut reconciler, &mut due)?,
            }
        }
    }

    fn handle(&mut self, trigger: Trigger, reconciler: &mut Reconciler, due: &mut Due) -> Result<(), Error> {
        let turn = match trigger {
            Trigger::Stop => false,
            Trigger::News => self.hear(reconciler, due)?,
            Trigger::Report(Ok(snapshot)) => {
                self.source_succeeded(&snapshot);
                // News that waits is older than what the turn will do.
                self.hear(reconciler, due)?;
                reconciler.learn(snapshot);
                true
            }
            Trigger::Report(Err(error)) => {
                self.source_failed(&error);
                self.write_state()?;
                false
            }
            Trigger::Order((Command::Release, reply)) => {
                let held = reconciler.release();
                // A client that hung up needs no answer.
                let _ = reply.send(if held { "released" } else { "nothing is held" }.to_owned());
                held
            }
            Trigger::Retry => {
                due.retry = None;
                true
            }
            Trigger::HoldOver => {
                due.asked_at = Instant::now();
                self.refresh.notify_one();
                false
            }
            Trigger::Resync => {
                reconciler.look_again();
                true
            }
            Trigger::Heartbeat => {
                self.describe(reconciler)?;
                false
            }
        };
        if turn { self.turn(reconciler, due) } else { Ok(()) }
    }

    /// Reads the news that waits; true when a turn is due.
    fn hear(&mut self, reconciler: &mut Reconciler, due: &mut Due) -> Result<bool, Error> {
        let mut matters = false;
        for _ in 0..NEWS {
            let Some(events) = self.monitor.read()? else {
                return Ok(matters);
            };
            let news = events.iter().filter_map(|event| news(event, reconciler.here())).collect::<Vec<_>>();
            for news in news {
                matters |= reconciler.hear(news);
            }
        }
        // The rest waits, and no edge will tell of it.
        due.retry = Some(Instant::now());
        Ok(matters)
    }

    fn turn(&mut self, reconciler: &mut Reconciler, due: &mut Due) -> Result<(), Error> {
        match reconciler.turn(&mut self.kernel, &|_| false) {
            Ok(turn) => {
                log(&turn);
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
        let path = self.run_dir.verdicts_file();
        self.run_dir
            .write_verdicts(&lines(reconciler))
            .map_err(|source| Error::State { path: path.display().to_string(), source })?;
        self.describe(reconciler)
    }

    fn source_succeeded(&mut self, snapshot: &Snapshot) {
        tracing::debug!(nodes = snapshot.nodes.len(), "whole list of nodes");
        self.state.source.last_sync = unix_now();
        self.state.source.error.clear();
    }

    fn source_failed(&mut self, error: &crate::source::Error) {
        let error = error.to_string();
        if self.state.source.error != error {
            tracing::warn!(%error, "no new list of nodes; the last good one stays");
            self.state.source.error = error;
        }
    }

    fn describe(&mut self, reconciler: &Reconciler) -> Result<(), Error> {
        let was_ready = self.state.ready;
        self.state.warnings = match &*self.source_rule.borrow() {
            Standing::Missing(why) => vec![format!("pods can forge their source address, the rule is missing: {why}")],
            Standing::Unknown | Standing::InPlace => Vec::new(),
        };
        describe(reconciler, &self.settings.me, Instant::now(), &mut self.state);
        if was_ready != self.state.ready {
            tracing::info!(ready = self.state.ready, reasons = self.state.reasons.join("; "), "readiness");
        }
        self.write_state()
    }

    fn write_state(&self) -> Result<(), Error> {
        let path = self.run_dir.state_file();
        self.run_dir
            .write_state(&self.state)
            .map_err(|source| Error::State { path: path.display().to_string(), source })
    }
}

/// SIGTERM and SIGINT.
struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Runtime);
        Ok(Self { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// One line for each changed route and verdict; silence when nothing changed.
fn log(turn: &Turn) {
    for verdict in &turn.changed {
        let cidr = verdict.cidr.map(tracing::field::display);
        tracing::info!(node = %verdict.node, cidr, verdict = %verdict.ruling, "verdict");
    }
    for change in &turn.applied.done {
        let op = match change {
            Change::Add(..) => "add",
            Change::Replace(..) => "replace",
            Change::Remove(_) => "remove",
        };
        tracing::info!(op, dst = %change.key().destination, "route");
    }
    for (change, trouble) in &turn.applied.refused {
        tracing::warn!(dst = %change.key().destination, %trouble, "route");
    }
}

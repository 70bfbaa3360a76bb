//! The agent's shell: it waits for whatever can happen, has the core (crate `podlan-node-core`) decide, and carries out what that says. The
//! threads, channels, timers and sockets are here and in the files beside; nothing here decides. What can block longer than
//! the kernel takes for an answer is a part's, on a thread of its own. Once it runs, only a signal ends it.

mod carry_out;
mod conditions;
mod desk;
mod host_kernel;
mod listen;
mod previous;
mod signals;
mod state_files;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};

use crate::control::Order;
use crate::http::{self, Served};
use crate::log::Recent;
use crate::metrics::Metrics;
use agent_core::{Core, Event, Given, Now, PreviousList};
use desk::{Desk, StartPart};
use host_kernel::HostKernel;
use install::Install;
use listen::Listener;
use parts::{Parts, Spare};
use pods::leases::Stores;
use routes::reconcile::Settings;
pub(crate) use signals::Stop;
use source::Source;
use state::release::COMMIT;
use state::{Clocks, ConfiguredPaths, RunDir, State};

/// How often the parts are looked after.
const TEND: Duration = Duration::from_millis(250);

/// How long an agent that ends waits for its files.
const LAST_FILES: Duration = Duration::from_millis(500);

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("make the run directory {path}: {source}")]
    RunDir { path: String, source: io::Error },
    #[error("lock {path}: {source}")]
    Lock { path: String, source: io::Error },
    #[error("{path} is locked{}: does another agent run? Two agents would overwrite each other's routes", by(.pid))]
    Taken { path: String, pid: String },
    #[error("find the own binary: {0}")]
    Binary(#[source] io::Error),
    #[error("start the runtime: {0}")]
    Runtime(#[source] io::Error),
    #[error("listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// Names the process that holds a lock; `pid` is "" where it is not known.
fn by(pid: &str) -> String {
    if pid.is_empty() { String::new() } else { format!(" by process {pid}") }
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
    /// Subnets outside of the cluster that pods reach with their own addresses; none where nothing is masqueraded.
    pub(crate) no_masquerade_to: Option<Vec<IpNetwork>>,
    /// Whether policies of others that drop this node's pods' packets are answered by rules that accept them.
    pub(crate) accept_forward: bool,
    /// Whether forwarding is switched on again where somebody switches it off.
    pub(crate) keep_forwarding: bool,
    /// The last lines of the log.
    pub(crate) recent: Recent,
    pub(crate) probes: ProbeOptions,
}

/// How paths are probed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeOptions {
    pub(crate) on: bool,
    /// The UDP port, the same on every node.
    pub(crate) port: u16,
    /// Requests in a second, at most.
    pub(crate) rate: u32,
}

impl Options {
    /// The paths that the operator's commands look at too.
    fn configured_paths(&self) -> ConfiguredPaths {
        ConfiguredPaths {
            cni_bin_dir: self.install.bin_dir.clone(),
            cni_conf_dir: self.install.conf_dir.clone(),
            data_dir: Some(self.stores.data_dir().to_owned()),
        }
    }
}

/// The core, and what it is connected to.
pub(crate) struct Agent {
    core: Core,
    run_dir: RunDir,
    kernel: HostKernel,
    listener: Listener,
    parts: Parts,
    /// What is known to be wrong with them.
    part_troubles: Vec<String>,
    tend: Interval,
    desk: Desk,
    /// Where the command that the core has now is answered.
    reply: Option<oneshot::Sender<String>>,
    previous_list: (mpsc::Sender<Option<PreviousList>>, mpsc::Receiver<Option<PreviousList>>),
    published: watch::Sender<State>,
    metrics: Arc<Metrics>,
}

/// What the agent has waited for.
enum Wake {
    Event(Event),
    /// The kernel's events must be read.
    KernelEvents,
    /// An event that is later than all events of the kernel that wait.
    AfterKernelEvents(Event),
    Order(Order),
    /// A part reports something new.
    Parts,
    /// The parts must be looked after.
    Tend,
}

impl Agent {
    /// Runs until a signal ends it.
    pub(crate) async fn run(options: Options) -> Result<(), Error> {
        let mut stop = Stop::listen().map_err(Error::Runtime)?;
        let (version, commit) = (env!("CARGO_PKG_VERSION"), COMMIT);
        let (node, source) = (options.settings.me.clone(), options.source.to_string());
        tracing::info!(version, commit, node = %node, source, pid = std::process::id(), "podlan-node starts");
        let mut agent = Self::start(options, Parts::default()).await?;
        let signal = agent.run_until(stop.wait()).await;
        agent.desk.state_files.emptied(LAST_FILES).await;
        agent.parts.stop().await;
        tracing::info!(signal, version, commit, node = %node, "podlan-node ends; the routes stay");
        Ok(())
    }

    /// Starts the parts. What cannot be had now is asked for again later.
    async fn start(options: Options, mut parts: impl StartPart + Into<Parts>) -> Result<Self, Error> {
        let mut state = State::starting(&options.settings.me, &options.source.to_string());
        state.configured_paths = options.configured_paths();
        let metrics = Arc::new(Metrics::new());
        let (published, _) = watch::channel(state.clone());
        // Taken before anything else: a limit that is lowered later ends the high numbers first.
        let [for_health, for_orders] = [Spare::default(), Spare::default()];
        if let Some(address) = options.listen {
            let listener = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
            let served = Served { state: published.subscribe(), metrics: metrics.clone() };
            tokio::spawn(http::serve(listener, for_health, served));
        }
        // Opened before anything is looked at, so that no change falls between.
        let listener = Listener::open();
        let previous = previous::state(&options.run_dir).await;
        state.pod_mtus = previous.as_ref().map(|previous| previous.pod_mtus.clone()).unwrap_or_default();
        let previous_agent = previous.and_then(|previous| previous::confirmed(previous, &options.settings.me));
        state.routed = previous_agent.is_some();
        published.send_replace(state.clone());
        let desk = Desk::start(&mut parts, &options, &published, &metrics, for_orders);
        let given = Given {
            settings: options.settings,
            writes_conflist: options.install.conf_dir.is_some(),
            network: options.install.conflist.network,
            no_masquerade_to: options.no_masquerade_to,
            resync: options.resync,
            state,
            previous_agent,
        };
        let mut tend = interval(TEND);
        tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            core: Core::new(given, now()),
            run_dir: options.run_dir,
            kernel: HostKernel::default(),
            listener,
            parts: parts.into(),
            part_troubles: Vec::new(),
            tend,
            desk,
            reply: None,
            previous_list: mpsc::channel(1),
            published,
            metrics,
        })
    }

    /// Turns what happens into events, until `stop` is ready.
    async fn run_until<T>(&mut self, stop: impl Future<Output = T>) -> T {
        let mut stop = std::pin::pin!(stop);
        self.deliver([Event::Time]);
        loop {
            let wake = tokio::select! {
                biased;
                stopped = &mut stop => return stopped,
                wake = self.next() => wake,
            };
            match wake {
                Wake::Event(event) => self.deliver([event]),
                Wake::KernelEvents => {
                    let events = self.listener.read();
                    self.deliver([Event::KernelEvents(events)]);
                }
                Wake::AfterKernelEvents(event) => {
                    let events = self.listener.read();
                    self.deliver([Event::KernelEvents(events), event]);
                }
                Wake::Order((command, reply)) => {
                    self.reply = Some(reply);
                    self.deliver([Event::Order(command)]);
                }
                Wake::Parts => {
                    let reports = self.desk.part_reports();
                    self.deliver((!reports.is_empty()).then_some(Event::Parts(reports)));
                }
                Wake::Tend => self.tend(),
            }
        }
    }

    async fn next(&mut self) -> Wake {
        let due = self.core.due();
        tokio::select! {
            biased;
            () = self.listener.wait() => Wake::KernelEvents,
            Some(report) = self.desk.reports.recv() => Wake::AfterKernelEvents(Event::Report(report)),
            Some(order) = self.desk.orders.recv() => Wake::Order(order),
            () = std::future::ready(()), if self.listener.has_unread() => Wake::KernelEvents,
            () = self.desk.changed.notified() => Wake::Parts,
            () = sleep_until(due.into()) => Wake::AfterKernelEvents(Event::Time),
            Some(list) = self.previous_list.1.recv() => Wake::Event(Event::PreviousList(list)),
            _ = self.tend.tick() => Wake::Tend,
        }
    }

    /// Looks after the parts.
    fn tend(&mut self) {
        let now = Instant::now();
        self.parts.tend(now);
        let troubles = self.parts.troubles(now);
        if troubles != self.part_troubles {
            self.part_troubles.clone_from(&troubles);
            self.deliver([Event::PartTroubles(troubles)]);
        }
    }
}

/// The time now.
fn now() -> Now {
    Now { at: Instant::now(), clocks: Clocks::now() }
}

#[cfg(test)]
mod tests;

//! The parts of the agent and the loop's ends of the channels: what each part is given, and what each reports.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::conditions;
use super::state_files::{self, StateFiles};
use super::{Options, ProbeOptions};
use crate::control::{self, Order};
use crate::metrics::Metrics;
use agent_core::{Found, PartReport, Written};
use filter::{self, Egress, Filtered, Wanted};
use hostport::Ports;
use install::housekeeping::{self, Position};
use parts::{Activity, Output, Parts, Spare};
use pods::forwarding::keep::{self as forwarding, Forwarding};
use pods::leases::{self, Asked, LeaseCounts};
use pods::mtu;
use probes::Probed;
use source::Report;
use state::{HEARTBEAT, State, VerdictLine};

/// How long the packet filter's part waits for a plugin that changes host ports: other rules must not wait for one that hangs.
const PORTS_LOCK: Duration = Duration::from_millis(200);

/// What starts a part. A test starts parts that it can stop.
pub(super) trait StartPart {
    fn start_part<F>(&mut self, name: &'static str, run: impl Fn(Activity) -> F + Send + Sync + 'static)
    where
        F: Future<Output = String> + 'static;
}

impl StartPart for Parts {
    fn start_part<F>(&mut self, name: &'static str, run: impl Fn(Activity) -> F + Send + Sync + 'static)
    where
        F: Future<Output = String> + 'static,
    {
        self.start(name, run);
    }
}

/// The loop's ends.
pub(super) struct Desk {
    /// Some part reports something new.
    pub(super) changed: Arc<Notify>,
    pub(super) reports: mpsc::Receiver<Report>,
    /// Asks the source for a snapshot of now.
    pub(super) refresh: Arc<Notify>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) filtered: watch::Receiver<Filtered>,
    pub(super) forwarding: watch::Receiver<Forwarding>,
    pub(super) asked: watch::Sender<Asked>,
    pub(super) lease_counts: watch::Receiver<LeaseCounts>,
    pub(super) position: watch::Sender<Option<Position>>,
    pub(super) files: watch::Receiver<Option<housekeeping::FilesState>>,
    /// The MTUs that pods inherited since this node booted, the present one last; each message asks for a look.
    pub(super) mtus_asked: watch::Sender<Vec<u32>>,
    /// Pods whose links keep a former MTU, and why.
    pub(super) former_mtus: watch::Receiver<Vec<String>>,
    /// Who is probed; None before the nodes are known.
    pub(super) probes: watch::Sender<Option<probes::machine::Wanted>>,
    pub(super) probed: watch::Receiver<Probed>,
    pub(super) state_files: StateFiles,
    pub(super) written: watch::Receiver<Written>,
    /// The verdicts that were published last, for the checks.
    pub(super) verdicts: watch::Sender<Arc<Vec<VerdictLine>>>,
    pub(super) found: watch::Receiver<Found>,
}

impl Desk {
    /// Starts all parts. `state` is what the agent publishes of itself.
    pub(super) fn start(
        parts: &mut impl StartPart,
        options: &Options,
        state: &watch::Sender<State>,
        metrics: &Arc<Metrics>,
        spare: Spare,
    ) -> Self {
        let (changed, refresh) = (Arc::new(Notify::new()), Arc::new(Notify::new()));

        let (report_sender, reports) = mpsc::channel(1);
        let (source, asked, resync) = (options.source.clone(), refresh.clone(), options.resync);
        parts.start_part("source", move |activity| {
            source.clone().run(report_sender.clone(), asked.clone(), resync, activity)
        });

        let (order_sender, orders) = mpsc::channel(1);
        let socket = options.run_dir.control_socket();
        let served = control::Served {
            orders: order_sender,
            state: state.subscribe(),
            metrics: metrics.clone(),
            recent: options.recent.clone(),
            spare: Arc::new(Mutex::new(spare)),
        };
        parts.start_part("control", move |activity| control::keep(socket.clone(), served.clone(), activity));

        let (wanted, rules) = watch::channel(Wanted::default());
        let (output, filtered) = Output::new(Filtered::default(), changed.clone());
        // As long as no node is known.
        let egress = options.no_masquerade_to.as_ref().map_or(Egress::Off, |_| Egress::Unknown);
        let rules = filter::Options {
            every: options.resync,
            count_every: HEARTBEAT,
            egress,
            accepts: options.accept_forward,
            ports: Ports::below(options.stores.data_dir(), PORTS_LOCK),
            wanted: rules,
            output,
        };
        parts.start_part("packet filter", move |activity| filter::keep(rules.clone(), activity));

        let (output, forwarding) = Output::new(Forwarding::default(), changed.clone());
        let switches = forwarding::Options { every: options.resync, keeps: options.keep_forwarding, output };
        parts.start_part("forwarding", move |activity| forwarding::keep(switches.clone(), activity));

        let (asked, looks) = watch::channel(Asked::default());
        let (output, lease_counts) = Output::new(LeaseCounts::default(), changed.clone());
        let (stores, reclaimed) = (options.stores.clone(), Arc::default());
        let leases = leases::Options { stores, every: options.resync, reclaimed, asked: looks, output };
        parts.start_part("leases", move |activity| leases::keep(leases.clone(), activity));

        let (position, positions) = watch::channel(None);
        let (output, files) = Output::new(None, changed.clone());
        let install = options.install.clone();
        parts.start_part("files", move |activity| {
            housekeeping::keep(install.clone(), positions.clone(), output.clone(), activity)
        });

        let (mtus_asked, looks) = watch::channel(Vec::new());
        let (output, former_mtus) = Output::new(Vec::new(), changed.clone());
        let (install, stores) = (options.install.clone(), options.stores.clone());
        let pods = mtu::Options { install, stores, asked: looks, output };
        parts.start_part("pod MTU", move |activity| mtu::keep(pods.clone(), activity));

        let (probes, wanted_probes) = watch::channel(None);
        let (output, probed) = Output::new(Probed::default(), changed.clone());
        let ProbeOptions { on, port, rate } = options.probes;
        let round_trips = metrics.round_trips.clone();
        let sample = Arc::new(move |rtt: Duration| round_trips.observe(rtt.as_secs_f64()));
        let to_peers = probes::Options { on, port, rate, wanted: wanted_probes, sample, output };
        parts.start_part("probes", move |activity| probes::keep(to_peers.clone(), activity));

        let state_files = StateFiles::default();
        let (output, written) = Output::new(Written::default(), changed.clone());
        let (run_dir, to_file) = (options.run_dir.clone(), state_files.clone());
        parts.start_part("reports", move |activity| {
            state_files::keep(run_dir.clone(), to_file.clone(), output.clone(), activity)
        });

        let (verdicts, published) = watch::channel(Arc::default());
        let (output, found) = Output::new(Found::default(), changed.clone());
        let looks = conditions::Options {
            run_dir: options.run_dir.clone(),
            paths: options.configured_paths(),
            state: state.subscribe(),
            verdicts: published,
            output,
        };
        parts.start_part("conditions", move |activity| conditions::keep(looks.clone(), activity));

        Self {
            changed,
            reports,
            refresh,
            orders,
            wanted,
            filtered,
            forwarding,
            asked,
            lease_counts,
            position,
            files,
            mtus_asked,
            former_mtus,
            probes,
            probed,
            state_files,
            written,
            verdicts,
            found,
        }
    }

    /// What the parts report that is new.
    pub(super) fn part_reports(&mut self) -> Vec<PartReport> {
        let reports = [
            latest(&mut self.filtered).map(PartReport::Filter),
            latest(&mut self.forwarding).map(PartReport::Forwarding),
            latest(&mut self.lease_counts).map(PartReport::Leases),
            latest(&mut self.files).map(PartReport::Files),
            latest(&mut self.former_mtus).map(PartReport::FormerMtus),
            latest(&mut self.probed).map(PartReport::Probed),
            latest(&mut self.written).map(PartReport::Written),
            latest(&mut self.found).map(PartReport::Conditions),
        ];
        reports.into_iter().flatten().collect()
    }
}

/// The latest value, where it has not been seen yet.
fn latest<T: Clone>(receiver: &mut watch::Receiver<T>) -> Option<T> {
    receiver.has_changed().unwrap_or(false).then(|| receiver.borrow_and_update().clone())
}

//! The parts of the agent and the loop's ends of what goes between: what it wants of each, and how each stands.

use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc, watch};

use super::publish::{self, Papers};
use super::{Options, egress};
use crate::control::{self, Order};
use filter::{self, Filtered, Wanted};
use install::upkeep::{self, Position};
use parts::Spare;
use parts::{Output, Parts};
use pods::forwarding::keep::{self as forwarding, Forwarding};
use pods::leases::{self, Asked, Census};
use pods::mtu;
use source::Report;
use state::{HEARTBEAT, State};

/// The loop's ends.
pub(super) struct Desk {
    /// Some part says something new.
    pub(super) news: Arc<Notify>,
    pub(super) reports: mpsc::Receiver<Report>,
    /// Asks the source for a snapshot of now.
    pub(super) refresh: Arc<Notify>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) filtered: watch::Receiver<Filtered>,
    pub(super) forwarding: watch::Receiver<Forwarding>,
    pub(super) asked: watch::Sender<Asked>,
    pub(super) census: watch::Receiver<Census>,
    pub(super) position: watch::Sender<Option<Position>>,
    pub(super) files: watch::Receiver<Option<upkeep::Report>>,
    /// The MTUs that pods inherited since this node booted, the present one last; each message asks for a look.
    pub(super) mtus_asked: watch::Sender<Vec<u32>>,
    /// Pods whose links keep a former MTU, and why.
    pub(super) former_mtus: watch::Receiver<Vec<String>>,
    pub(super) papers: Papers,
    /// What cannot be filed, and why.
    pub(super) unfiled: watch::Receiver<Vec<String>>,
}

impl Desk {
    /// Starts all parts. `state` is what the agent says of itself, from its first word on.
    pub(super) fn start(parts: &mut Parts, options: &Options, state: &watch::Sender<State>, spare: Spare) -> Self {
        let (news, refresh) = (Arc::new(Notify::new()), Arc::new(Notify::new()));

        let (report_sender, reports) = mpsc::channel(1);
        let (source, asked, resync) = (options.source.clone(), refresh.clone(), options.resync);
        parts.start("source", move |activity| {
            source.clone().run(report_sender.clone(), asked.clone(), resync, activity)
        });

        let (order_sender, orders) = mpsc::channel(1);
        let socket = options.run_dir.control_socket();
        let served =
            control::Served { orders: order_sender, state: state.subscribe(), spare: Arc::new(Mutex::new(spare)) };
        parts.start("control", move |activity| control::keep(socket.clone(), served.clone(), activity));

        let (wanted, rules) = watch::channel(Wanted::default());
        let (output, filtered) = Output::new(Filtered::default(), news.clone());
        let egress = egress::at_first(options.egress.as_ref());
        let rules = filter::Options {
            every: options.resync,
            count_every: HEARTBEAT,
            egress,
            accepts: options.accept_forward,
            wanted: rules,
            output,
        };
        parts.start("packet filter", move |activity| filter::keep(rules.clone(), activity));

        let (output, forwarding) = Output::new(Forwarding::default(), news.clone());
        let switches = forwarding::Options { every: options.resync, keeps: options.keep_forwarding, output };
        parts.start("forwarding", move |activity| forwarding::keep(switches.clone(), activity));

        let (asked, looks) = watch::channel(Asked::default());
        let (output, census) = Output::new(Census::default(), news.clone());
        let (stores, reclaimed) = (options.stores.clone(), Arc::default());
        let leases = leases::Options { stores, every: options.resync, reclaimed, asked: looks, output };
        parts.start("leases", move |activity| leases::keep(leases.clone(), activity));

        let (position, positions) = watch::channel(None);
        let (output, files) = Output::new(None, news.clone());
        let install = options.install.clone();
        parts
            .start("files", move |activity| upkeep::keep(install.clone(), positions.clone(), output.clone(), activity));

        let (mtus_asked, looks) = watch::channel(Vec::new());
        let (output, former_mtus) = Output::new(Vec::new(), news.clone());
        let (install, stores) = (options.install.clone(), options.stores.clone());
        let pods = mtu::Options { install, stores, asked: looks, output };
        parts.start("pod MTU", move |activity| mtu::keep(pods.clone(), activity));

        let papers = Papers::new();
        let (output, unfiled) = Output::new(Vec::new(), news.clone());
        let (run_dir, to_file) = (options.run_dir.clone(), papers.clone());
        parts.start("reports", move |activity| {
            publish::keep(run_dir.clone(), to_file.clone(), output.clone(), activity)
        });

        Self {
            news,
            reports,
            refresh,
            orders,
            wanted,
            filtered,
            forwarding,
            asked,
            census,
            position,
            files,
            mtus_asked,
            former_mtus,
            papers,
            unfiled,
        }
    }
}

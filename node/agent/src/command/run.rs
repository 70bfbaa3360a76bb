//! `podlan-node run`: the agent itself.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ipnetwork::IpNetwork;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{duration, period, share, subnet};
use crate::agent::{self, Agent, Options, ProbeOptions};
use crate::log::{Log, Recent};
use files::replace::private_directory;
use install::Install;
use install::conflist::{Chained, Conflist};
use pods::leases::Stores;
use routes::guard::Limits;
use routes::reconcile::Settings;
use source::Source;
use source::kubernetes::{Access, Credentials, Endpoint};
use state::{RUN_DIR, RunDir};

/// How the agent runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// This node's name in the list of nodes
    #[arg(long, env = "NODE_NAME")]
    node_name: String,
    #[command(flatten)]
    source: SourceArgs,
    /// The Kubernetes API server's own address, or that of a load balancer in front of it, where the Service `kubernetes`
    /// has no address before pods have a network: in a cluster without kube-proxy
    #[arg(long, env = "CONTROL_PLANE_ENDPOINT", value_name = "HOST:PORT", conflicts_with = "nodes")]
    kubernetes_endpoint: Option<Endpoint>,
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// The interval of full comparisons, which include the nodes file and do not depend on events
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = period)]
    resync: Duration,
    /// Hold a list of nodes that would withdraw more than this share of the peers' routes
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = share)]
    withdraw_share: f64,
    /// Apply such a list when a later list still says the same after this time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    withdraw_hold: Duration,
    /// Reach nodes of other segments through routers, which must have routes to the pod subnets
    #[arg(long)]
    by_routers: bool,
    /// Masquerade traffic of pods to addresses outside the cluster with the node's address; never traffic to pods or
    /// nodes
    #[arg(long)]
    masquerade: bool,
    /// A subnet outside the cluster that pods reach without masquerade; may be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',', requires = "masquerade", value_parser = subnet)]
    no_masquerade_to: Vec<IpNetwork>,
    /// Append rules that accept traffic of this node's pods to forward chains of other programs whose policy is drop
    /// (such as Docker's)
    #[arg(long)]
    accept_forward: bool,
    /// When another program switches forwarding off while pods run, only warn, and leave it off
    #[arg(long)]
    no_keep_forwarding: bool,
    /// Probe whether packets of pods pass to each other node: from the first address of this node's pod CIDR, over UDP
    #[arg(long, value_name = "on|off", default_value = "on")]
    probe: Switch,
    /// The UDP port of the probes, the same on every node
    #[arg(long, value_name = "PORT", default_value_t = probes::PORT)]
    probe_port: u16,
    /// Send at most this many probes in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=10_000))]
    probe_rate: u32,
    /// Serve /healthz, /readyz and /metrics on this address
    #[arg(long, env = "PODLAN_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Install the plugins `podlan` and `podlan-ipam` from this program's directory into this directory
    #[arg(long, value_name = "DIR")]
    cni_bin_dir: Option<PathBuf>,
    /// Write the runtime's network configuration into this directory, once this node's routes are in the kernel
    #[arg(long, value_name = "DIR")]
    cni_conf_dir: Option<PathBuf>,
    /// The name of the network in that configuration
    #[arg(long, value_name = "NAME", default_value = "podnet")]
    network_name: String,
    /// A plugin of the runtime to chain after podlan; may be repeated
    #[arg(long, value_name = "PLUGIN")]
    chain: Vec<Plugin>,
    /// The same, but only while its binary is in the directory of `--cni-bin-dir`
    #[arg(long, value_name = "PLUGIN", requires = "cni_bin_dir")]
    chain_if_installed: Vec<Plugin>,
    /// The pods' MTU in bytes; without it, the MTU of the default route's link, else of the links to the other nodes
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u32>,
    /// Where the leases lie (`ipam.dataDir`)
    #[arg(long, value_name = "DIR", default_value = ipam::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// The log level: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
    /// The form of the log's lines: text, or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// `{"timestamp":…,"level":…,"message":…,"target":…}` and the fields of the line
    Json,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    /// It is done
    On,
    /// It is not done
    Off,
}

/// A plugin that may be chained after podlan.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Plugin {
    /// hostPort
    Portmap,
    /// kubernetes.io/ingress-bandwidth and egress-bandwidth
    Bandwidth,
}

impl From<Plugin> for Chained {
    fn from(plugin: Plugin) -> Self {
        match plugin {
            Plugin::Portmap => Self::Portmap,
            Plugin::Bandwidth => Self::Bandwidth,
        }
    }
}

/// Where the nodes come from: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// Read the nodes from a NodeList in JSON or YAML (`kubectl get nodes -o json` or `-o yaml`) or a directory of such
    /// files, and watch it
    #[arg(long, value_name = "PATH")]
    nodes: Option<PathBuf>,
    /// Read the nodes from the Kubernetes API, as a pod of the cluster
    #[arg(long)]
    kubernetes: bool,
    /// Read the nodes from the Kubernetes API that a kubeconfig file describes
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl SourceArgs {
    fn source(self, endpoint: Option<Endpoint>) -> Source {
        let credentials = match (self.nodes, self.kubeconfig) {
            (Some(path), _) => return Source::File(path),
            (None, Some(path)) => Credentials::Kubeconfig(path),
            // The group leaves nothing else: `--kubernetes` was given.
            (None, None) => Credentials::InCluster,
        };
        Source::Kubernetes(Access { credentials, endpoint })
    }
}

/// Runs until SIGTERM or SIGINT. The routes stay.
pub(crate) fn run(args: Args) -> ExitCode {
    let log = log(args.log_level, args.log_format);
    let recent = log.as_ref().map(Log::recent).unwrap_or_default();
    let code = match start(args, recent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the agent stops");
            ExitCode::FAILURE
        }
    };
    log.iter().for_each(Log::flush);
    code
}

/// Logs on stderr. The API server's client would log each failed attempt; the agent logs it once.
fn log(level: Level, format: LogFormat) -> Option<Log> {
    let client = if level > Level::INFO { LevelFilter::from(level) } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(level).with_target("kube_client", client);
    let log = Log::start(io::stderr());
    let writer = log.clone().map_or_else(|| BoxMakeWriter::new(io::stderr), BoxMakeWriter::new);
    let to_stderr = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(writer);
    match format {
        LogFormat::Text => to_stderr.finish().with(targets).init(),
        LogFormat::Json => to_stderr.json().flatten_event(true).finish().with(targets).init(),
    }
    log
}

fn start(args: Args, recent: Recent) -> Result<(), agent::Error> {
    let run_dir = RunDir(args.run_dir);
    private_directory(&run_dir.0)
        .map_err(|source| agent::Error::RunDir { path: run_dir.0.display().to_string(), source })?;
    let _alone = lock(&run_dir)?;
    let settings = Settings {
        me: args.node_name.into(),
        limits: Limits { share: args.withdraw_share, hold: args.withdraw_hold },
        by_routers: args.by_routers,
    };
    let conflist = Conflist {
        network: args.network_name,
        agent: run_dir.state_file().display().to_string(),
        data_dir: args.data_dir.display().to_string(),
        mtu: args.mtu,
        chain: args.chain.into_iter().map(Chained::from).collect(),
        chain_if_installed: args.chain_if_installed.into_iter().map(Chained::from).collect(),
    };
    let own_binary = std::env::current_exe().map_err(agent::Error::Binary)?;
    let from = own_binary.parent().map(PathBuf::from).unwrap_or_default();
    let install = Install { from, bin_dir: args.cni_bin_dir, conf_dir: args.cni_conf_dir, conflist };
    let options = Options {
        settings,
        source: args.source.source(args.kubernetes_endpoint),
        run_dir,
        resync: args.resync,
        listen: args.listen,
        stores: Stores::below(args.data_dir),
        install,
        no_masquerade_to: args.masquerade.then_some(args.no_masquerade_to),
        accept_forward: args.accept_forward,
        keep_forwarding: !args.no_keep_forwarding,
        recent,
        probes: ProbeOptions { on: args.probe == Switch::On, port: args.probe_port, rate: args.probe_rate },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(agent::Error::Runtime)?;
    runtime.block_on(Agent::run(options))
}

/// Locks the run directory until the process ends, however it ends: the directory itself, and a file in it with the
/// process id, where the file system has room for one.
fn lock(run_dir: &RunDir) -> Result<[Option<File>; 2], agent::Error> {
    let path = run_dir.lock_file();
    let failed = |source| agent::Error::Lock { path: path.display().to_string(), source };
    let refused = |refused| match refused {
        TryLockError::WouldBlock => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            agent::Error::Taken { path: path.display().to_string(), pid: holder.trim().to_owned() }
        }
        TryLockError::Error(source) => failed(source),
    };
    let directory = match File::open(&run_dir.0) {
        Ok(directory) => {
            directory.try_lock().map_err(refused)?;
            Some(directory)
        }
        Err(_) => None,
    };
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if is_full(&error) && directory.is_some() => {
            tracing::warn!(path = %path.display(), %error, "only the directory is locked");
            return Ok([directory, None]);
        }
        Err(error) => return Err(failed(error)),
    };
    file.try_lock().map_err(refused)?;
    match file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        Err(error) if !is_full(&error) => Err(failed(error)),
        _ => Ok([directory, Some(file)]),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

//! `podlan-node adopt host-local DIR`: takes over host-local's leases of a network, so that its pods keep running and
//! no other pod gets their addresses. It changes nothing but the lease store, which it locks: the agent and the plugins
//! may run meanwhile.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cni::{Attachment, NetworkName};
use ipam::{Lease, Place, Range, RangeSet, Require, Want};
use ipnetwork::IpNetwork;
use migration::{Decision, Imported, KnownPods, Living, RESULTS};
use netlink::Family;
use serde::Serialize;

use state::{RUN_DIR, RunDir};

/// The plugin whose leases are taken over.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// From the reference IPAM plugin `host-local`, as used by ptp, bridge or flannel
    HostLocal(HostLocal),
}

#[derive(Debug, clap::Args)]
struct HostLocal {
    /// host-local's directory of the network: /var/lib/cni/networks/NAME, or NAME below its dataDir
    directory: PathBuf,
    /// The name of podlan's network; if possible keep the network's former name, under which libcni and portmap record
    /// its pods
    #[arg(long, value_name = "NAME", default_value = "podnet")]
    network_name: String,
    /// A pod CIDR of this node; may be repeated. Without it, those of the running agent
    #[arg(long, value_name = "CIDR")]
    cidr: Vec<IpNetwork>,
    /// A file with the ids of the running containers (`crictl pods -q`), `-` for stdin: leases of other containers are
    /// left, unless their network namespace exists
    #[arg(long, value_name = "FILE")]
    live: Option<PathBuf>,
    /// The directory of libcni's records, which name the pods' namespaces and links
    #[arg(long, value_name = "DIR", default_value = RESULTS)]
    results: PathBuf,
    /// The directory of podlan's leases (`ipam.dataDir`)
    #[arg(long, value_name = "DIR", default_value = ipam::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("read the list of living containers: {0}")]
    Live(#[from] migration::LivingError),
    #[error("--network-name: {0}")]
    Network(cni::Error),
    #[error("--cidr: {0}")]
    Cidr(#[from] ipam::RangeError),
    #[error("--cidr: {0}")]
    Want(#[source] ipam::Error),
    #[error("find this node's pod CIDRs: no agent reports them ({0}); give them with --cidr")]
    NoAgent(String),
    #[error(transparent)]
    Store(#[from] ipam::Error),
    #[error("print: {0}")]
    Print(#[from] io::Error),
}

/// What was done, for people and machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    network: String,
    dry_run: bool,
    /// Leased by podlan now.
    adopted: Vec<Line>,
    /// Leased by podlan before.
    known: Vec<Line>,
    /// Leases of pods that no longer exist.
    left: Vec<Line>,
    /// Could not be taken over.
    refused: Vec<Refused>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    address: String,
    container_id: String,
    ifname: String,
    /// "" when it is unknown.
    pod: String,
    /// Why it was left; "" otherwise.
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'static str,
}

#[derive(Serialize)]
struct Refused {
    file: String,
    why: String,
}

/// Takes over; the exit code is 0 when nothing was refused.
pub(crate) fn run(args: &Args) -> ExitCode {
    let From::HostLocal(args) = &args.from;
    let done = adopt(args).and_then(|report| {
        print(args.json, &report)?;
        Ok(report.refused.is_empty())
    });
    match done {
        Ok(whole) => ExitCode::from(u8::from(!whole)),
        Err(error) => {
            // An error cannot be reported if stderr is closed too.
            let _ = writeln!(io::stderr(), "failed to {error}");
            ExitCode::FAILURE
        }
    }
}

fn adopt(args: &HostLocal) -> Result<Report, Error> {
    let network = NetworkName::parse(&args.network_name).map_err(Error::Network)?;
    let want = want(&cidrs(args)?)?;
    let living = args.live.as_deref().map(read).transpose()?.map(|text| Living::parse(&text)).transpose()?;
    // host-local names the directory after its network, and libcni's records contain that name.
    let theirs = args.directory.file_name().unwrap_or_default().to_string_lossy();
    let failed = |source| Error::Read { path: args.results.display().to_string(), source };
    let known = KnownPods::read(&theirs, &args.results, living).map_err(failed)?;
    let place = Place::new(&args.data_dir, network);
    let reasons = RefCell::new(BTreeMap::new());
    let vouch = |owner: &Attachment| match known.decide(owner) {
        Decision::Adopt(proof) => Some(proof),
        Decision::Leave(why) => {
            reasons.borrow_mut().insert(owner.clone(), why);
            None
        }
    };
    let import = if args.dry_run { migration::dry_run } else { migration::import };
    let Imported { leases, known: known_leases, left, refused } = import(&place, &want, &args.directory, &vouch)?;
    let reasons = reasons.into_inner();
    let left = left.into_iter().map(|(address, owner)| Line {
        address: address.to_string(),
        why: reasons.get(&owner).copied().unwrap_or_default(),
        container_id: owner.container_id.to_string(),
        ifname: owner.ifname.to_string(),
        pod: String::new(),
    });
    let refused =
        refused.into_iter().map(|one| Refused { file: one.file.display().to_string(), why: one.why.to_string() });
    Ok(Report {
        network: args.network_name.clone(),
        dry_run: args.dry_run,
        adopted: leases.iter().map(line).collect(),
        known: known_leases.iter().map(line).collect(),
        left: left.collect(),
        refused: refused.collect(),
    })
}

fn line(lease: &Lease) -> Line {
    Line {
        address: lease.address.ip().to_string(),
        container_id: lease.owner.container_id.to_string(),
        ifname: lease.owner.ifname.to_string(),
        pod: lease.proof.pod.clone().unwrap_or_default(),
        why: "",
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    text.map_err(|source| Error::Read { path: path.display().to_string(), source })
}

/// The CIDRs of the command line, else those of the running agent.
fn cidrs(args: &HostLocal) -> Result<Vec<IpNetwork>, Error> {
    if !args.cidr.is_empty() {
        return Ok(args.cidr.clone());
    }
    let run_dir = RunDir(args.run_dir.clone());
    let state =
        run_dir.read_state().map_err(|error| Error::NoAgent(format!("{}: {error}", run_dir.state_file().display())))?;
    let cidrs: Vec<IpNetwork> = state.pod_cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect();
    if cidrs.is_empty() { Err(Error::NoAgent("it has none".to_owned())) } else { Ok(cidrs) }
}

/// What podlan will lease to the pods: an address of each family.
fn want(cidrs: &[IpNetwork]) -> Result<Want, Error> {
    let mut sets = Vec::new();
    for family in Family::BOTH {
        let cidrs = cidrs.iter().filter(|cidr| family.holds(cidr.ip()));
        let ranges = cidrs.map(|cidr| Range::new(*cidr, None, None, None)).collect::<Result<Vec<_>, _>>()?;
        if !ranges.is_empty() {
            sets.push(RangeSet::new(ranges)?);
        }
    }
    Want::new(&sets, &[], Duration::ZERO, Require::Both).map_err(Error::Want)
}

fn print(json: bool, report: &Report) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    let would = if report.dry_run { "would be " } else { "" };
    for (word, lines) in [("adopted", &report.adopted), ("known", &report.known), ("left", &report.left)] {
        for Line { address, container_id, ifname, pod, why } in lines {
            let pod = if pod.is_empty() { String::new() } else { format!(" ({pod})") };
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            writeln!(out, "{would}{word} {address} of {container_id} {ifname}{pod}{why}")?;
        }
    }
    for Refused { file, why } in &report.refused {
        writeln!(out, "{would}refused {file}: {why}")?;
    }
    let Report { network, adopted, known, left, refused, .. } = report;
    let count = |lines: &[Line]| lines.len();
    let (adopted, known, left, refused) = (count(adopted), count(known), count(left), refused.len());
    writeln!(out, "{network}: {adopted} {would}adopted, {known} known before, {left} left, {refused} refused")?;
    Ok(())
}

//! `podlan-node leases`: who has which address on this node. Read from the stores; no agent is needed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use cni::NetworkName;
use ipam::{Lease, Presence, Prover, Stamp};
use netlink::Socket;
use podlink::HostLinks;
use serde::Serialize;

use crate::leases::Stores;

/// Where the leases are, and how to print them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the leases (`ipam.dataDir` of the network config)
    #[arg(long, value_name = "DIR", default_value = ipam::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One lease for people and machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    network: String,
    address: String,
    container_id: String,
    ifname: String,
    /// `namespace/name`, "" when the runtime did not tell.
    pod: String,
    /// "" when the caller made the link itself.
    host_link: String,
    netns: String,
    /// Seconds since it was given; absent when that was before this boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    /// live: its link is there; gone: it is not; unknown: it has none that could be looked for.
    state: &'static str,
}

/// Prints the leases.
pub(crate) fn run(args: &Args) -> ExitCode {
    match lines(args)
        .map_err(|error| error.to_string())
        .and_then(|lines| print(args, &lines).map_err(|e| e.to_string()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody to tell if stderr is gone too.
            let _ = writeln!(io::stderr(), "failed to show the leases: {error}");
            ExitCode::FAILURE
        }
    }
}

fn lines(args: &Args) -> Result<Vec<Line>, ipam::Error> {
    let now = Stamp::now()?;
    let leases = Stores::below(args.data_dir.clone()).all()?;
    // Without one nothing is known of any link.
    let mut host = Socket::open().ok();
    Ok(leases.into_iter().map(|(network, lease)| line(network, lease, now, host.as_mut())).collect())
}

fn line(network: NetworkName, lease: Lease, now: Stamp, host: Option<&mut Socket>) -> Line {
    let state = match host.map(|host| HostLinks::new(host, &network).host_link(&lease)) {
        Some(Presence::Present) => "live",
        Some(Presence::Gone) => "gone",
        Some(Presence::Unknown) | None => "unknown",
    };
    Line {
        network: network.to_string(),
        address: lease.address.ip().to_string(),
        container_id: lease.owner.container_id.to_string(),
        ifname: lease.owner.ifname.to_string(),
        pod: lease.proof.pod.unwrap_or_default(),
        host_link: lease.proof.host_link.unwrap_or_default(),
        netns: lease.proof.netns.display().to_string(),
        age_seconds: lease.since.age(&now).map(|age| age.as_secs()),
        state,
    }
}

fn print(args: &Args, lines: &[Line]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, lines)?;
        return writeln!(out);
    }
    let width =
        |text: fn(&Line) -> &str, least: usize| lines.iter().map(|line| text(line).len()).max().unwrap_or(0).max(least);
    let (network, address) = (width(|line| &line.network, 7), width(|line| &line.address, 7));
    let (owner, pod) = (width(|line| &line.container_id, 9), width(|line| &line.pod, 3));
    writeln!(
        out,
        "{:network$}  {:address$}  STATE    {:>8}  {:pod$}  {:owner$}  IFNAME",
        "NETWORK", "ADDRESS", "AGE", "POD", "CONTAINER"
    )?;
    for line in lines {
        let age = line.age_seconds.map_or_else(|| "old boot".to_owned(), |age| format!("{age}s"));
        let Line { network: net, address: ip, state, pod: name, container_id, ifname, .. } = line;
        writeln!(
            out,
            "{net:network$}  {ip:address$}  {state:7}  {age:>8}  {name:pod$}  {container_id:owner$}  {ifname}"
        )?;
    }
    Ok(())
}

//! `podlan-node leases`: the owner of each address on this node. Read from the stores of the agent and of the
//! configurations; no agent is needed. Exit code 0: all stores were read; otherwise those that can be read are shown,
//! and the errors of the others.

mod release;

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use cni::NetworkName;
use ipam::{Lease, Liveness, Presence, Stamp};
use netlink::Socket;
use podlink::HostLinks;

use facts::observe::Places;
use inspect::leases::{Line, text};
use pods::leases::{Read, Stores, VisibleNetns};
use state::{RUN_DIR, RunDir};

/// The states and exit codes, for the help.
const STATES: &str = "\
States of a lease:
  live      the pod's link is on this node
  unlinked  the link is gone; the pod's network namespace is there, or is not proved gone
  gone      link and namespace are gone: the agent releases the lease, at the latest after a minute
  unknown   neither could be checked, for example for a lease of another plugin's pod; run this as root of the node

An address that nothing else frees is released by --release, which refuses while the link or the namespace of the pod lives,
and names it. Exit code of --release: 0 released; 1 not released, the owner lives or nothing has the address; 2 not released,
nothing is known about the owner, or its store cannot be read.";

/// Where the leases are, and how to print them.
#[derive(Debug, clap::Args)]
#[command(after_help = STATES)]
pub(crate) struct Args {
    /// A directory of leases, in addition to those that the configurations name [default: the agent's, else
    /// /run/podlan]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Release the lease of this address, unless the link or the network namespace of its pod lives
    #[arg(long, value_name = "ADDRESS")]
    release: Option<IpAddr>,
    /// The network of that lease, where several have the address
    #[arg(long, value_name = "NAME", requires = "release")]
    network: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the leases.
pub(crate) fn run(args: &Args) -> ExitCode {
    if let Some(address) = args.release {
        return release::run(&places(args).data_dirs, address, args.network.as_deref(), args.json);
    }
    let (lines, unread) = lines(places(args).data_dirs);
    let printed = print(args.json, &lines).map_err(|error| error.to_string());
    let errors: Vec<String> = unread.into_iter().chain(printed.err()).collect();
    for error in &errors {
        // An error cannot be reported if stderr is closed too.
        let _ = writeln!(io::stderr(), "failed to show the leases: {error}");
    }
    if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn places(args: &Args) -> Places {
    Places::new(RunDir(args.run_dir.clone()), None, None, args.data_dir.clone())
}

/// All leases, and why some could not be read.
pub(super) fn lines(data_dirs: Vec<PathBuf>) -> (Vec<Line>, Vec<String>) {
    let now = match Stamp::now() {
        Ok(now) => now,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let stores: Vec<Stores> = data_dirs.into_iter().map(Stores::below).collect();
    let mut visible = VisibleNetns::default();
    stores.iter().for_each(|stores| stores.show(&mut visible));
    // Without a socket nothing is known of any link.
    let mut host = Socket::open().ok();
    let (mut lines, mut unread) = (Vec::new(), Vec::new());
    for stores in &stores {
        match stores.judged(&visible) {
            Ok(Read { leases, unread: errors }) => {
                let leases = leases.into_iter();
                lines.extend(leases.map(|(network, lease, there)| line(network, lease, there, now, host.as_mut())));
                unread.extend(errors.iter().map(ToString::to_string));
            }
            Err(error) => unread.push(error.to_string()),
        }
    }
    (lines, unread)
}

fn line(network: NetworkName, lease: Lease, whole: Presence, now: Stamp, host: Option<&mut Socket>) -> Line {
    let link = host.map_or(Presence::Unknown, |host| HostLinks::new(host, &network).host_link(&lease));
    Line::new(&network, lease, link, whole, now)
}

fn print(json: bool, lines: &[Line]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, lines)?;
        return writeln!(out);
    }
    out.write_all(text(lines).as_bytes())
}

//! `podlan-node trace POD POD`: each hop between two pods in both directions, as this node's kernel has it, compared
//! with what podlan wants. Exit code 0: nothing is wrong on this node; 1: something is wrong; 2: nothing wrong was
//! found, but not everything could be checked, or neither pod is on this node.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use facts::legs::End;
use facts::legs::observe::legs;
use facts::observe::{Places, observe};
use filter::forward::{Protocol, Transport};
use inspect::trace::endpoints::settle;
use inspect::trace::way::{Way, answer, code, text};
use state::release::version;
use state::{RUN_DIR, RunDir};

/// The two pods.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A pod: its address; for a pod of this node also its container id, a prefix of it, or NAMESPACE/NAME
    #[arg(value_name = "POD")]
    one: String,
    /// The other
    #[arg(value_name = "POD")]
    other: String,
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// A directory of leases, in addition to those that the configurations name [default: the agent's, else
    /// /run/podlan]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Follow a TCP connection to this port of the second pod: rules by port count too
    #[arg(long, value_name = "PORT", conflicts_with = "udp")]
    tcp: Option<u16>,
    /// Follow UDP packets to this port of the second pod: rules by port count too
    #[arg(long, value_name = "PORT")]
    udp: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Traces packets between the two pods.
pub(crate) fn run(args: &Args) -> ExitCode {
    let ways = match ways(args) {
        Ok(ways) => ways,
        Err(error) => {
            // An error cannot be reported if stderr is closed too.
            let _ = writeln!(io::stderr(), "failed to trace: {error}");
            return ExitCode::from(2);
        }
    };
    let mut out = io::stdout().lock();
    let printed = if args.json {
        serde_json::to_writer(&mut out, &answer(&ways, version())).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        out.write_all(text(&ways).as_bytes())
    };
    printed.map_or(ExitCode::FAILURE, |()| ExitCode::from(code(&ways)))
}

fn transport(args: &Args) -> Transport {
    match args.udp {
        Some(port) => Transport { protocol: Protocol::Udp, port: Some(port) },
        None => Transport { protocol: Protocol::Tcp, port: args.tcp },
    }
}

fn ways(args: &Args) -> Result<Vec<Way>, String> {
    let facts = observe(&Places::new(RunDir(args.run_dir.clone()), None, None, args.data_dir.clone()));
    let pairs = settle(&args.one, &args.other, &facts)?;
    let way = |(one, other): (End, End)| {
        let legs = legs(&one, &other, transport(args), &facts)?;
        Ok(Way::of([one, other], &legs))
    };
    pairs.into_iter().map(way).collect()
}

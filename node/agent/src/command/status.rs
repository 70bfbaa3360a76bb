//! `podlan-node status`: the agent's last state and its verdict on each peer, compared with the kernel's routes now. Of a
//! large cluster a summary, and each peer that is not as wanted.
//! Exit code 0: ready; 1: not ready; 2: there is no agent.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use facts::machine::observe::is_agent_running;
use inspect::status::{Detail, Found, Status};
use routes::Key;
use routes::kernel::{Kernel, Rtnetlink};
use state::control;
use state::release::version;
use state::{Clocks, RUN_DIR, RunDir, State, VerdictLine};

/// The agent's directory, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Show each node, also in a large cluster
    #[arg(long)]
    all: bool,
    /// Print JSON: the contents of node.json, with `stale`, `peers` (each with what was `found`), and `unwanted` routes
    #[arg(long)]
    json: bool,
}

/// Prints the agent's last state.
pub(crate) fn run(args: &Args) -> ExitCode {
    let run_dir = RunDir(args.run_dir.clone());
    let (state, unanswered) = match read(&run_dir) {
        Ok(read) => read,
        Err(error) => {
            // An error cannot be reported if stderr is closed too.
            let _ = writeln!(
                io::stderr(),
                "failed to read {}: {error} (is the agent running?)",
                run_dir.state_file().display()
            );
            return ExitCode::from(2);
        }
    };
    // There are none before the first complete list of nodes.
    let lines = run_dir.read_verdicts().unwrap_or_default();
    let now = Clocks::now();
    // An agent that has ended is not alive for as long as its last report is fresh.
    let gone = is_agent_running(&run_dir) == Some(false);
    let stale = state.is_stale(now) || gone;
    let found = find(&lines);
    let status = Status::new(&state, stale, &lines, &found).unanswered(unanswered).by(version());
    let detail = if args.all { Detail::All } else { Detail::Summary };
    let mut out = io::stdout().lock();
    let printed = if args.json {
        serde_json::to_writer(&mut out, &status).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        out.write_all(status.text(detail, now).as_bytes())
    };
    match (printed, stale, state.ready) {
        (Err(_), ..) => ExitCode::FAILURE,
        (Ok(()), true, _) => ExitCode::from(2),
        (Ok(()), false, ready) => ExitCode::from(u8::from(!ready)),
    }
}

/// The agent's present state, where it answers: it may be unable to write the file. Otherwise its last one, and why it did not.
pub(super) fn read(run_dir: &RunDir) -> io::Result<(State, Option<String>)> {
    match control::state(&run_dir.control_socket()) {
        Ok(state) => Ok((state, None)),
        Err(error) => Ok((run_dir.read_state()?, Some(error.to_string()))),
    }
}

/// Reads the kernel's routes.
pub(super) fn find(lines: &[VerdictLine]) -> Result<Found, netlink::Error> {
    let mut kernel = Rtnetlink::open()?;
    let (here, routes) = (kernel.here()?, kernel.routes()?);
    let wanted = lines.iter().filter_map(VerdictLine::route).map(|(key, _)| key);
    let missing: BTreeSet<Key> = wanted.filter(|key| !routes.contains_key(key)).collect();
    let holders = if missing.is_empty() { Default::default() } else { kernel.holders(&missing)? };
    Ok(Found { here, routes, holders })
}

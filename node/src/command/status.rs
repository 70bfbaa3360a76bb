//! `podlan-node status`: the agent's own files, for people or as JSON. Exit code 0: ready; 1: not; 2: no agent is there.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::state::{RUN_DIR, RunDir, State, VerdictLine};

/// Where the agent is, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Print JSON: the contents of node.json, with `peers` and `stale`
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    state: &'a State,
    stale: bool,
    peers: &'a [VerdictLine],
}

/// Prints what the agent last said of itself.
pub(crate) fn run(args: &Args) -> ExitCode {
    let run_dir = RunDir(args.run_dir.clone());
    let state = match run_dir.read_state() {
        Ok(state) => state,
        Err(error) => {
            // Nobody to tell if stderr is gone too.
            let _ = writeln!(
                io::stderr(),
                "failed to read {}: {error} (does the agent run?)",
                run_dir.state_file().display()
            );
            return ExitCode::from(2);
        }
    };
    // There are none before the first whole list of nodes.
    let peers = run_dir.read_verdicts().unwrap_or_default();
    let stale = state.is_stale();
    let mut out = io::stdout().lock();
    let printed = if args.json {
        let whole = Whole { state: &state, stale, peers: &peers };
        serde_json::to_writer(&mut out, &whole).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        print(&mut out, &state, stale, &peers)
    };
    match (printed, stale, state.ready) {
        (Err(_), ..) => ExitCode::FAILURE,
        (Ok(()), true, _) => ExitCode::from(2),
        (Ok(()), false, ready) => ExitCode::from(u8::from(!ready)),
    }
}

fn print(out: &mut impl Write, state: &State, stale: bool, peers: &[VerdictLine]) -> io::Result<()> {
    let ready = match (stale, state.ready) {
        (true, _) => "unknown: the agent has not said anything for a while",
        (false, true) => "yes",
        (false, false) => "no",
    };
    writeln!(out, "node      {} (pod CIDRs: {})", state.node, list(&state.pod_cidrs))?;
    writeln!(out, "ready     {ready}")?;
    for reason in &state.reasons {
        writeln!(out, "          {reason}")?;
    }
    writeln!(out, "source    {}", state.source.name)?;
    if !state.source.error.is_empty() {
        writeln!(out, "          the last good list stays: {}", state.source.error)?;
    }
    for (family, counts) in [("IPv4", &state.v4), ("IPv6", &state.v6)] {
        let (installed, desired, failed) = (counts.installed, counts.desired, counts.failed);
        writeln!(out, "routes    {family}: {installed} of {desired} in, {failed} failed")?;
    }
    writeln!(out, "egress    masquerade {}", state.masquerade)?;
    if let Some(held) = &state.held {
        writeln!(
            out,
            "held      a list of nodes that would withdraw {} of {} peers' routes (release-withdrawal lets it go)",
            held.withdraws, held.of
        )?;
    }
    for warning in &state.warnings {
        writeln!(out, "warning   {warning}")?;
    }
    let width = |text: fn(&VerdictLine) -> &str| peers.iter().map(|line| text(line).len()).max().unwrap_or_default();
    let (node, cidr) = (width(|line| &line.node), width(|line| &line.cidr));
    for line in peers {
        writeln!(out, "  {:node$}  {:cidr$}  {}", line.node, line.cidr, line.text)?;
    }
    Ok(())
}

fn list(texts: &[String]) -> String {
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

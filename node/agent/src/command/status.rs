//! `podlan-node status`: the agent's last state and its verdict on each peer, compared with the kernel's routes now.
//! Exit code 0: ready; 1: not ready; 2: there is no agent.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::table::table;
use routes::compare::{InKernel, Shown, in_kernel, unwanted};
use routes::here::Here;
use routes::kernel::{Kernel, Rtnetlink};
use routes::{Key, Routes};
use state::control;
use state::{Clocks, RUN_DIR, RunDir, State, VerdictLine};

/// The agent's directory, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Print JSON: the contents of node.json, with `stale`, `peers` (each with what was `found`), and `unwanted` routes
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    state: &'a State,
    stale: bool,
    peers: Vec<Peer<'a>>,
    /// Routes of podlan that no verdict wants: of a withdrawal that is held, or of an agent that no longer runs.
    unwanted: Vec<String>,
}

/// A verdict, and the kernel's route in its place.
#[derive(Serialize)]
struct Peer<'a> {
    #[serde(flatten)]
    line: &'a VerdictLine,
    /// `as wanted`, `missing`, `missing, held by …`, `via …`; `unknown: …` when the kernel could not be asked; "" where
    /// no route is wanted.
    found: String,
}

/// The kernel's side.
struct Found {
    here: Here,
    routes: Routes,
    /// Foreign routes under the keys of desired routes that are missing, as text.
    holders: std::collections::BTreeMap<Key, String>,
}

impl Found {
    fn look(lines: &[VerdictLine]) -> Result<Self, netlink::Error> {
        let mut kernel = Rtnetlink::open()?;
        let (here, routes) = (kernel.here()?, kernel.routes()?);
        let wanted = lines.iter().filter_map(VerdictLine::route).map(|(key, _)| key);
        let missing: BTreeSet<Key> = wanted.filter(|key| !routes.contains_key(key)).collect();
        let holders = if missing.is_empty() { Default::default() } else { kernel.holders(&missing)? };
        Ok(Self { here, routes, holders })
    }

    fn find(&self, line: &VerdictLine) -> String {
        let Some((key, target)) = line.route() else { return String::new() };
        match (in_kernel(&key, &target, &self.routes), self.holders.get(&key)) {
            (InKernel::AsWanted, _) => "as wanted".to_owned(),
            (InKernel::Missing, None) => "missing".to_owned(),
            (InKernel::Missing, Some(holder)) => format!("missing, held by {holder}"),
            (InKernel::Otherwise(target), _) => Shown(target, &self.here).to_string(),
        }
    }
}

/// Prints the agent's last state.
pub(crate) fn run(args: &Args) -> ExitCode {
    let run_dir = RunDir(args.run_dir.clone());
    // Its present state, where it answers: it may be unable to write the file.
    let asked = control::state(&run_dir.control_socket());
    let state = match asked.or_else(|_| run_dir.read_state()) {
        Ok(state) => state,
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
    let peers = run_dir.read_verdicts().unwrap_or_default();
    let stale = state.is_stale(Clocks::now());
    let found = Found::look(&peers);
    let find = |line| match &found {
        Ok(found) => found.find(line),
        Err(error) => format!("unknown: failed to {error}"),
    };
    let lines = peers.iter().map(|line| Peer { line, found: find(line) }).collect();
    let unwanted = found.as_ref().map_or_else(|_| Vec::new(), |found| strays(&peers, found));
    let mut out = io::stdout().lock();
    let printed = if args.json {
        let whole = Whole { state: &state, stale, peers: lines, unwanted };
        serde_json::to_writer(&mut out, &whole).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        print(&mut out, &state, stale).and_then(|()| routes(&mut out, &lines, &unwanted))
    };
    match (printed, stale, state.ready) {
        (Err(_), ..) => ExitCode::FAILURE,
        (Ok(()), true, _) => ExitCode::from(2),
        (Ok(()), false, ready) => ExitCode::from(u8::from(!ready)),
    }
}

fn strays(peers: &[VerdictLine], found: &Found) -> Vec<String> {
    let wanted = peers.iter().filter_map(VerdictLine::route).map(|(key, _)| key).collect();
    let unwanted = unwanted(&wanted, &found.routes);
    unwanted.iter().map(|(key, target)| format!("{} {}", key.destination, Shown(*target, &found.here))).collect()
}

fn print(out: &mut impl Write, state: &State, stale: bool) -> io::Result<()> {
    let ready = match (stale, state.ready) {
        (true, _) => "unknown: the agent has not updated its state for a while",
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
        writeln!(out, "          the last good list stays in force: {}", state.source.error)?;
    }
    for (family, counts) in [("IPv4", &state.v4), ("IPv6", &state.v6)] {
        let (installed, desired, failed) = (counts.installed, counts.desired, counts.failed);
        writeln!(out, "routes    {family}: {installed} of {desired} installed, {failed} failed")?;
    }
    writeln!(out, "egress    masquerade {}", state.masquerade)?;
    if let Some(held) = &state.held {
        writeln!(
            out,
            "held      a list of nodes that would withdraw {} of {} peers' routes (release-withdrawal applies it)",
            held.withdraws, held.of
        )?;
    }
    for warning in &state.warnings {
        writeln!(out, "warning   {warning}")?;
    }
    Ok(())
}

/// Each peer's desired route and the one that was found.
fn routes(out: &mut impl Write, peers: &[Peer<'_>], unwanted: &[String]) -> io::Result<()> {
    let row =
        |Peer { line, found }: &Peer<'_>| [line.node.clone(), line.cidr.clone(), found.clone(), line.text.clone()];
    let rows: Vec<[String; 4]> = peers.iter().map(row).collect();
    writeln!(out)?;
    table(out, ["NODE", "POD CIDR", "FOUND", "WANTED"], &rows)?;
    for route in unwanted {
        writeln!(out, "found, but not wanted: {route}")?;
    }
    Ok(())
}

fn list(texts: &[String]) -> String {
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests;

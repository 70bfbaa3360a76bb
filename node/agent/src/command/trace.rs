//! `podlan-node trace POD POD`: each hop between two pods in both directions, as this node's kernel has it, compared
//! with what podlan wants. Exit code 0: nothing is wrong on this node; 1: something is wrong; 2: nothing wrong was
//! found, but not everything could be checked, or neither pod is on this node.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use facts::legs::observe::legs;
use facts::legs::{End, Leg};
use facts::observe::{Places, observe};
use inspect::trace::endpoints::settle;
use inspect::trace::follow::follow;
use inspect::trace::hop::{Hop, State};
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The path between two addresses.
struct Way {
    node: String,
    ends: [End; 2],
    /// There and back.
    legs: [Vec<Hop>; 2],
    kept: Kept,
}

/// Whether each pod sees the other's own address, as far as this node's rules go.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kept {
    Yes,
    No,
    Unknown,
}

/// Traces.
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
        let whole = json!({ "ok": code(&ways) == 0, "ways": ways.iter().map(Way::json).collect::<Vec<_>>() });
        serde_json::to_writer(&mut out, &whole).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        ways.iter().try_for_each(|way| way.print(&mut out)).and_then(|()| total(&mut out, &ways))
    };
    printed.map_or(ExitCode::FAILURE, |()| ExitCode::from(code(&ways)))
}

fn ways(args: &Args) -> Result<Vec<Way>, String> {
    let facts = observe(&Places::new(RunDir(args.run_dir.clone()), None, None, args.data_dir.clone()));
    let pairs = settle(&args.one, &args.other, &facts)?;
    let way = |(one, other): (End, End)| {
        let legs = legs(&one, &other, &facts)?;
        Ok(Way::of([one, other], &legs))
    };
    pairs.into_iter().map(way).collect()
}

fn states(ways: &[Way]) -> impl Iterator<Item = State> {
    ways.iter().flat_map(|way| way.legs.iter().flatten()).map(|hop| hop.state)
}

fn code(ways: &[Way]) -> u8 {
    let has = |state| states(ways).any(|seen| seen == state);
    match (has(State::Wrong), has(State::Unknown) || has(State::Cut)) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    }
}

fn total(out: &mut impl Write, ways: &[Way]) -> io::Result<()> {
    let wrong = states(ways).filter(|state| *state == State::Wrong).count();
    match (code(ways), wrong) {
        (0, _) => writeln!(out, "nothing is wrong on this node"),
        (1, wrong) => writeln!(out, "hops that are wrong: {wrong}"),
        _ => writeln!(out, "nothing wrong was found; not everything could be checked"),
    }
}

impl Way {
    fn of(ends: [End; 2], legs: &[Leg; 2]) -> Self {
        let node = legs[0].node.clone();
        let mut kept = Kept::Yes;
        for leg in legs {
            kept = match &leg.translated {
                Ok(found) if found.iter().any(|found| found.certain) => Kept::No,
                Ok(found) if found.is_empty() => kept,
                _ if kept == Kept::No => kept,
                _ => Kept::Unknown,
            };
        }
        Self { node, ends, legs: legs.each_ref().map(follow), kept }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let [one, other] = self.ends.each_ref().map(|end| end.address);
        for ((from, to), hops) in [(one, other), (other, one)].into_iter().zip(&self.legs) {
            writeln!(out, "{from} to {to}, seen from {}", self.node)?;
            hops.iter().try_for_each(|hop| print(out, hop))?;
        }
        match self.kept {
            Kept::Yes => writeln!(out, "the address is kept: {other} sees {one}, {one} sees {other}")?,
            Kept::No => writeln!(out, "the address is NOT kept")?,
            Kept::Unknown => writeln!(out, "it is unknown whether the address is kept")?,
        }
        writeln!(out)
    }

    fn json(&self) -> serde_json::Value {
        let leg = |from: &End, to: &End, hops: &Vec<Hop>| {
            let end = |end: &End| json!({ "address": end.address, "name": end.name, "here": end.is_here() });
            json!({ "from": end(from), "to": end(to), "hops": hops })
        };
        let ([one, other], [there, back]) = (&self.ends, &self.legs);
        json!({
            "node": self.node,
            "addressKept": self.kept,
            "legs": [leg(one, other, there), leg(other, one, back)],
        })
    }
}

fn print(out: &mut impl Write, hop: &Hop) -> io::Result<()> {
    let state = match hop.state {
        State::Ok => "ok",
        State::Wrong => "WRONG",
        State::Cut => "cut off",
        State::Elsewhere => "-",
        State::Unknown => "unknown",
    };
    let mtu = hop.mtu.map(|mtu| format!(", MTU {mtu}")).unwrap_or_default();
    writeln!(out, "  {state:7}  {:9}  {}{mtu}", hop.place, hop.text)?;
    for problem in &hop.problems {
        writeln!(out, "           {:9}  wrong: {}", "", problem.wrong)?;
        writeln!(out, "           {:9}  why:   {}", "", problem.why)?;
        writeln!(out, "           {:9}  fix:   {}", "", problem.cure)?;
    }
    Ok(())
}

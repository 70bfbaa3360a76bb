//! `podlan-node doctor`: each check of this node is ok, or says what is wrong, why it matters and how to mend it. Exit code
//! 0: nothing is wrong; 1: something is; 2: nothing that was seen is, but not everything could be looked at.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::doctor::finding::{Finding, Outcome, Problem};
use crate::doctor::observe::{Places, observe};
use crate::doctor::{checks, mend};
use crate::state::{RUN_DIR, RunDir};

/// Where to look, and what to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// The runtime's directory of network configurations [default: the agent's, else /etc/cni/net.d]
    #[arg(long, value_name = "DIR")]
    cni_conf_dir: Option<PathBuf>,
    /// The runtime's directory of plugins [default: the agent's, else /opt/cni/bin]
    #[arg(long, value_name = "DIR")]
    cni_bin_dir: Option<PathBuf>,
    /// Where the leases lie, beside what the configurations name [default: the agent's, else /run/podlan]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Mend what is safe to mend, say what was done, and look again
    #[arg(long)]
    fix: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the checks found, and what was mended before.
struct Report {
    done: Vec<Result<String, String>>,
    /// Whether mending was asked for.
    fixed: bool,
    outcomes: Vec<(&'static str, Outcome)>,
}

/// Examines this node.
pub(crate) fn run(args: &Args) -> ExitCode {
    let Args { run_dir, cni_conf_dir, cni_bin_dir, data_dir, .. } = args;
    let run_dir = RunDir(run_dir.clone());
    let places = Places::new(run_dir, cni_conf_dir.clone(), cni_bin_dir.clone(), data_dir.clone());
    let mut report = Report { done: Vec::new(), fixed: args.fix, outcomes: checks::judge(&observe(&places)) };
    if args.fix {
        let due = mend::due(report.outcomes.iter().map(|(_, outcome)| outcome));
        report.done = due.into_iter().map(|mend| mend::carry_out(mend, &places)).collect();
        if !report.done.is_empty() {
            report.outcomes = checks::judge(&observe(&places));
        }
    }
    let mut out = io::stdout().lock();
    let printed = if args.json {
        serde_json::to_writer(&mut out, &report.json()).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        report.print(&mut out)
    };
    printed.map_or(ExitCode::FAILURE, |()| ExitCode::from(report.code()))
}

impl Report {
    fn code(&self) -> u8 {
        let wrong = self.outcomes.iter().any(|(_, outcome)| matches!(outcome, Ok(Finding::Wrong(_))));
        let unknown = self.outcomes.iter().any(|(_, outcome)| outcome.is_err());
        match (wrong, unknown) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 0,
        }
    }

    /// What `--fix` was asked to mend and leaves to the operator, each with the reason.
    fn left(&self) -> Vec<(&'static str, &Problem)> {
        let problems = self.outcomes.iter().filter(|_| self.fixed);
        let problems = problems.filter_map(|outcome| match &outcome.1 {
            Ok(Finding::Wrong(problems)) => Some((outcome.0, problems)),
            _ => None,
        });
        let all = problems.flat_map(|(check, problems)| problems.iter().map(move |problem| (check, problem)));
        all.filter(|(_, problem)| !problem.left.is_empty()).collect()
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for done in &self.done {
            match done {
                Ok(done) => writeln!(out, "mended    {done}")?,
                Err(why) => writeln!(out, "not mended: {why}")?,
            }
        }
        for (check, problem) in self.left() {
            writeln!(out, "not mended: {check}: {}: {}", problem.wrong, problem.left)?;
        }
        let width = self.outcomes.iter().map(|(check, _)| check.len()).max().unwrap_or_default();
        let (mut wrong, mut unknown) = (0, 0);
        for (check, outcome) in &self.outcomes {
            match outcome {
                Ok(Finding::Fine(fine)) => writeln!(out, "ok        {check:width$}  {fine}")?,
                Ok(Finding::Moot(why)) => writeln!(out, "-         {check:width$}  {why}")?,
                Err(why) => {
                    unknown += 1;
                    writeln!(out, "unknown   {check:width$}  {why}")?;
                }
                Ok(Finding::Wrong(problems)) => {
                    for problem in problems {
                        wrong += 1;
                        writeln!(out, "WRONG     {check:width$}  {}", problem.wrong)?;
                        writeln!(out, "          {:width$}  why:  {}", "", problem.why)?;
                        writeln!(out, "          {:width$}  mend: {}", "", problem.cure)?;
                    }
                }
            }
        }
        match (wrong, unknown) {
            (0, 0) => writeln!(out, "nothing is wrong"),
            (0, unknown) => writeln!(out, "nothing that was seen is wrong; could not be looked at: {unknown}"),
            (wrong, 0) => writeln!(out, "wrong: {wrong}"),
            (wrong, unknown) => writeln!(out, "wrong: {wrong}; could not be looked at: {unknown}"),
        }
    }

    fn json(&self) -> Value {
        let check = |(check, outcome): &(&str, Outcome)| match outcome {
            Ok(Finding::Fine(text)) => json!({ "check": check, "state": "ok", "text": text }),
            Ok(Finding::Moot(text)) => json!({ "check": check, "state": "moot", "text": text }),
            Ok(Finding::Wrong(problems)) => json!({ "check": check, "state": "wrong", "problems": problems }),
            Err(text) => json!({ "check": check, "state": "unknown", "text": text }),
        };
        let done = |done: &Result<String, String>| match done {
            Ok(text) => json!({ "mended": true, "text": text }),
            Err(text) => json!({ "mended": false, "text": text }),
        };
        json!({
            "ok": self.code() == 0,
            "left": self.left().iter().map(|(check, problem)| json!({
                "check": check, "wrong": problem.wrong, "why": problem.left,
            })).collect::<Vec<_>>(),
            "mended": self.done.iter().map(done).collect::<Vec<_>>(),
            "checks": self.outcomes.iter().map(check).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests;

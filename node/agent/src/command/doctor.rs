//! `podlan-node doctor`: each check of this node is ok, or reports what is wrong, why it matters and how to fix it.
//! Exit code 0: nothing is wrong; 1: something is wrong; 2: nothing wrong was found, but not everything could be
//! checked.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use facts::observe::{Places, observe};
use facts::parts::Known;
use inspect::doctor::report::Report;
use inspect::doctor::{checks, fix};
use state::release::version;
use state::{RUN_DIR, RunDir};

/// The directories, and what to do.
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
    /// A directory of leases, in addition to those that the configurations name [default: the agent's, else
    /// /run/podlan]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Ask only whether the kernel has what podlan needs; nothing need be installed
    #[arg(long, conflicts_with = "fix")]
    kernel: bool,
    /// Fix what is safe to fix, show what was done, and check again
    #[arg(long)]
    fix: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Examines this node.
pub(crate) fn run(args: &Args) -> ExitCode {
    if args.kernel {
        let outcomes = checks::kernel::judge_parts(&Known::default().observe(true));
        return print(&Report { done: Vec::new(), fixed: false, outcomes }, args.json);
    }
    let Args { run_dir, cni_conf_dir, cni_bin_dir, data_dir, .. } = args;
    let run_dir = RunDir(run_dir.clone());
    let places = Places::new(run_dir, cni_conf_dir.clone(), cni_bin_dir.clone(), data_dir.clone());
    let mut report = Report { done: Vec::new(), fixed: args.fix, outcomes: checks::judge(&observe(&places)) };
    if args.fix {
        let due = fix::due(report.outcomes.iter().map(|(_, outcome)| outcome));
        report.done = due.into_iter().map(|fix| fix::carry_out(fix, &places)).collect();
        if !report.done.is_empty() {
            report.outcomes = fix::left(checks::judge(&observe(&places)));
        }
    }
    print(&report, args.json)
}

fn print(report: &Report, json: bool) -> ExitCode {
    let mut out = io::stdout().lock();
    let printed = if json {
        serde_json::to_writer(&mut out, &report.answer(version())).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        report.print(&mut out)
    };
    printed.map_or(ExitCode::FAILURE, |()| ExitCode::from(report.code()))
}

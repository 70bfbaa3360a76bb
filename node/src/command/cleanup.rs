//! `podlan-node cleanup`: removes what the agent made and says what it left, and why.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::routes::kernel::{Kernel, Rtnetlink};
use crate::routes::plan::plan;
use crate::routes::{Routes, apply};
use crate::source_rule::{self, SourceRule};
use crate::state::{RUN_DIR, RunDir};

/// Where the agent was.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
}

/// Why nothing, or not everything, was cleaned up.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the agent runs (it holds {0}): stop it first")]
    Running(String),
    #[error("remove routes: {0}")]
    Routes(#[from] netlink::Error),
    #[error("remove the source rule: {0}")]
    SourceRule(#[from] source_rule::Error),
    #[error("remove {path}: {source}")]
    File { path: String, source: io::Error },
    #[error("print: {0}")]
    Print(#[from] io::Error),
}

/// Cleans up.
pub(crate) fn run(args: &Args) -> ExitCode {
    match clean(&RunDir(args.run_dir.clone()), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody to tell if stderr is gone too.
            let _ = writeln!(io::stderr(), "failed to clean up: {error}");
            ExitCode::FAILURE
        }
    }
}

fn clean(run_dir: &RunDir, out: &mut impl Write) -> Result<(), Error> {
    let lock = run_dir.lock_file();
    if let Ok(file) = File::open(&lock)
        && file.try_lock().is_err()
    {
        return Err(Error::Running(lock.display().to_string()));
    }
    routes(out)?;
    if SourceRule::open()?.remove()? {
        writeln!(out, "removed the source rule")?;
    }
    for path in [run_dir.state_file(), run_dir.verdicts_file(), run_dir.control_socket(), lock] {
        match fs::remove_file(&path) {
            Ok(()) => writeln!(out, "removed {}", path.display())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::File { path: path.display().to_string(), source }),
        }
    }
    writeln!(
        out,
        "left the pods, their links, their routes (protocol {}) and their leases: DEL takes them",
        netlink::POD_ROUTE
    )?;
    Ok(())
}

fn routes(out: &mut impl Write) -> Result<(), Error> {
    let mut kernel = Rtnetlink::open()?;
    let observed = kernel.routes()?;
    let applied = apply::apply(&mut kernel, &plan(&Routes::new(), &observed))?;
    for change in &applied.done {
        writeln!(out, "removed the route to {}", change.key().destination)?;
    }
    for (change, trouble) in &applied.refused {
        writeln!(out, "left the route to {}: {trouble}", change.key().destination)?;
    }
    Ok(())
}

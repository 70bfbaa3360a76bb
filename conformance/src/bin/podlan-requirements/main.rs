//! The requirement table: which test shows each requirement, and whether it passed in this run.
//!
//! Reads the requirements (conformance/requirements), the tests' sources, and the report of the run. Runs no test
//! itself. A requirement is red when it has neither a test nor a reason, or when its test failed or did not run; with
//! CI=true also when its test was skipped.

mod named;
mod ran;
mod requirement;
mod table;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Builds the table of requirements from a run of the tests.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Where to write the table, as Markdown.
    #[arg(long)]
    table: Option<PathBuf>,
    /// The tests that were skipped, as PODLAN_SKIPPED notes them: the report has them as passed.
    #[arg(long)]
    skipped: Option<PathBuf>,
    /// The JUnit report of cargo-nextest, and the log of conformance/harness/run.
    #[arg(required = true)]
    logs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("podlan-requirements: {error}");
            ExitCode::from(2)
        }
    }
}

/// The number of red requirements.
fn run(arguments: &Arguments) -> io::Result<usize> {
    let mut ran = ran::Ran::default();
    for log in &arguments.logs {
        ran.read(&String::from_utf8_lossy(&fs::read(log)?));
    }
    if let Some(path) = &arguments.skipped {
        ran.skip(&String::from_utf8_lossy(&fs::read(path)?));
    }
    let requirements = requirement::read(&arguments.root.join("conformance/requirements"))?;
    let mut named = named::in_rust(&arguments.root)?;
    named.extend(named::in_go(&arguments.root.join("conformance/harness"))?);
    // As for every test that cannot run.
    let skip_is_red = std::env::var("CI").as_deref() == Ok("true");
    let rows = table::rows(&requirements, &named, &ran, skip_is_red);
    if let Some(path) = &arguments.table {
        fs::write(path, table::markdown(&rows))?;
    }
    let mut out = io::stdout().lock();
    let red: Vec<_> = rows.iter().filter_map(table::Row::red).collect();
    for line in &red {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "requirements: {}", table::sum(&rows))?;
    Ok(red.len())
}

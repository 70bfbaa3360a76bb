//! `podlan-differential`: tests whether two builds of the plugins give the same answers to the same requests.
//! `scripts/differential` runs it.
//!
//! In `record` mode a copy of this program, named after a plugin, writes down each request and then executes the
//! plugin. `replay` sends the requests to one build, inside a lab. `compare` replays them to both builds and lists the
//! differences.

mod compare;
mod fuzzed;
mod record;
mod replay;
mod request;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Compares two builds of the plugins: stdout, exit code and netlink messages of each request.
#[derive(Parser)]
#[command(version)]
enum Differential {
    /// Replays requests to both builds and lists what differs. Exit code 0: nothing; 1: something; 2: it could not be done.
    Compare {
        #[command(flatten)]
        requests: Requests,
        /// The directory of the build before.
        old: PathBuf,
        /// The directory of the build after.
        new: PathBuf,
        /// Writes all differences here; otherwise the first ones are shown.
        #[arg(long)]
        differences: Option<PathBuf>,
    },
    /// Replays requests to one build and prints a line for each answer; inside a lab.
    #[command(hide = true)]
    Replay {
        #[command(flatten)]
        requests: Requests,
        build: PathBuf,
    },
}

/// Which requests are sent.
#[derive(clap::Args)]
struct Requests {
    /// Requests that were recorded, one a line; their netlink messages are compared too.
    #[arg(long, value_name = "FILE")]
    recorded: Option<PathBuf>,
    /// How many inputs are made of the fuzz corpora.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    fuzz: usize,
    /// The seed of those inputs.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

/// Why the comparison failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{doing}: {source}")]
    System { doing: String, source: std::io::Error },
    #[error("line {line} of the recorded requests: {source}")]
    Recorded { line: usize, source: serde_json::Error },
    #[error("the replay to {build} failed: {said}")]
    Replay { build: PathBuf, said: String },
    #[error("confine the replay: {0}")]
    Confine(#[from] podlan_conformance::lab::confine::Error),
    #[error(transparent)]
    Lab(#[from] podlan_conformance::lab::Error),
}

impl Error {
    /// For `map_err`.
    fn system(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        |source| Self::System { doing: doing.into(), source }
    }
}

fn main() -> ExitCode {
    if let Some(code) = record::as_plugin() {
        return code;
    }
    let done = match Differential::parse() {
        Differential::Compare { requests, old, new, differences } => {
            compare::compare(&requests, [&old, &new], differences.as_deref())
        }
        Differential::Replay { requests, build } => replay::replay(&requests, &build).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("podlan-differential: {error}");
            ExitCode::from(2)
        }
    }
}

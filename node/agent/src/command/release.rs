//! `podlan-node release-withdrawal`: an operator confirms a large withdrawal, or that kept values, which the list of
//! nodes lacks, are gone.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use state::control::{Command, command};
use state::{RUN_DIR, RunDir};

/// The agent's directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's run directory
    #[arg(long, value_name = "DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
}

/// Asks the agent and prints its answer.
pub(crate) fn run(args: &Args) -> ExitCode {
    let socket = RunDir(args.run_dir.clone()).control_socket();
    let (said, code) = match command(&socket, Command::Release) {
        Ok(answer) => (writeln!(io::stdout(), "{answer}"), ExitCode::SUCCESS),
        Err(error) => (writeln!(io::stderr(), "no agent answers at {}: {error}", socket.display()), ExitCode::FAILURE),
    };
    said.map_or(ExitCode::FAILURE, |()| code)
}

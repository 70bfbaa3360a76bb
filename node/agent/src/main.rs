//! podlan's node agent: maintains routes to the other nodes' pod subnets, each with a verdict.

mod agent;
mod command;
mod control;
#[cfg(test)]
mod deploy;
mod http;
mod log;
mod metrics;

use std::process::ExitCode;

use clap::Parser;

use command::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}

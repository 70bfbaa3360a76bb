//! podlan's node agent: plain routes to the other nodes' pod subnets, kept right, each with its reason.

mod agent;
mod command;
mod control;
mod describe;
mod place;
mod readiness;
mod routes;
mod source;
mod source_rule;
mod state;

use std::process::ExitCode;

use clap::Parser;

use command::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}

//! `kubectl podlan`: what podlan's agents say, of the whole cluster. It runs the operator's kubectl, which executes podlan-node in
//! the agents' containers; the answers become a report, and the report text, JSON or a page.

mod answer;
mod archive;
mod ask;
mod cli;
mod cluster;
mod command;
mod each;
mod kubernetes;
mod order;
mod print;
mod transport;
mod view;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}

//! podlan's node agent: plain routes to the other nodes' pod subnets, kept right, each with its reason.

mod agent;
mod command;
mod conflist;
mod control;
mod describe;
mod doctor;
mod forwarding;
mod host_source;
mod http;
mod install;
mod leases;
mod log;
mod metrics;
mod mtu;
mod nft;
mod packet_filter;
mod place;
mod pools;
mod readiness;
mod regular;
mod routes;
mod source;
mod spare;
mod state;
mod trace;
mod upkeep;

use std::process::ExitCode;

use clap::Parser;

use command::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}

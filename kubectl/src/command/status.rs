//! `kubectl podlan status`.

use std::collections::HashMap;

use inspect::status::Status;

use super::{Ran, now};
use crate::ask::{Asker, Sites};
use crate::cluster::Answers;
use crate::print;
use crate::view::status::{NodeStatus, keep, statuses};

/// How to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show each node and each condition, also of a large cluster
    #[arg(long)]
    all: bool,
    /// Print JSON: the state of each node, as its node.json has it
    #[arg(long)]
    json: bool,
}

/// Shows the agents' states.
pub(crate) fn run(args: &Args, asker: &Asker) -> Ran {
    let answers = ask(asker, &asker.sites()?);
    let statuses = statuses(&answers);
    print::report(args.json, &statuses, || statuses.text(args.all, now()))?;
    Ok(statuses.code())
}

/// Asks every agent for its state.
pub(crate) fn ask(asker: &Asker, sites: &Sites) -> Answers<NodeStatus> {
    let places: HashMap<&str, usize> =
        sites.all.iter().enumerate().map(|(place, site)| (site.node.as_str(), place)).collect();
    let keep = |status: Status<'static>| keep(status, |node| places.get(node).copied());
    asker.ask(sites, &["status", "--json"], keep)
}

//! `kubectl podlan doctor`.

use inspect::doctor::report::Answer;

use super::{Ran, now};
use crate::ask::Asker;
use crate::print;
use crate::view::doctor::doctors;

/// How to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show each node of each condition
    #[arg(long)]
    all: bool,
    /// Print JSON: what is wrong by kind, and the answer of each node
    #[arg(long)]
    json: bool,
}

/// Checks every node.
pub(crate) fn run(args: &Args, asker: &Asker) -> Ran {
    let answers = asker.ask(&asker.sites()?, &["doctor", "--json"], |answer: Answer| answer);
    let doctors = doctors(&answers);
    print::report(args.json, &doctors, || doctors.text(args.all, now()))?;
    Ok(doctors.code())
}

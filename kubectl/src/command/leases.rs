//! `kubectl podlan leases`.

use inspect::leases::Line;

use super::Ran;
use crate::ask::Asker;
use crate::print;
use crate::view::leases::leases;

/// How to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists the leases of every node.
pub(crate) fn run(args: &Args, asker: &Asker) -> Ran {
    let answers = asker.ask(&asker.sites()?, &["leases", "--json"], |lines: Vec<Line>| lines);
    let leases = leases(&answers);
    print::report(args.json, &leases, || leases.text())?;
    Ok(leases.code())
}

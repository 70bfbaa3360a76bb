//! `kubectl podlan paths`.

use super::{Ran, now, status};
use crate::ask::Asker;
use crate::print;
use crate::view::paths::matrix;

/// How to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show each path that is not open
    #[arg(long)]
    all: bool,
    /// Print JSON: each path that is not open, and counts
    #[arg(long)]
    json: bool,
}

/// Shows the paths between all nodes.
pub(crate) fn run(args: &Args, asker: &Asker) -> Ran {
    let answers = status::ask(asker, &asker.sites()?);
    let matrix = matrix(&answers);
    print::report(args.json, &matrix, || matrix.text(args.all, now()))?;
    Ok(matrix.code())
}

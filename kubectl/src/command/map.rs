//! `kubectl podlan map`.

use std::path::{Path, PathBuf};

use super::{Ran, now, status};
use crate::ask::Asker;
use crate::print;
use crate::view::map::map;

/// Where the page goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The page; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "podlan-map.html")]
    output: PathBuf,
    /// Print what the page shows as JSON, and write no page
    #[arg(long)]
    json: bool,
}

/// Writes the map.
pub(crate) fn run(args: &Args, asker: &Asker) -> Ran {
    let sites = asker.sites()?;
    let answers = status::ask(asker, &sites);
    let map = map(&sites.all, &answers, now());
    if args.json {
        print::report(true, &map, String::new)?;
        return Ok(map.code());
    }
    let page = map.html().map_err(|error| format!("failed to write the page: {error}"))?;
    if args.output == Path::new("-") {
        // A page is no text for a terminal: it is written as it is.
        print::bytes(page.as_bytes())?;
    } else {
        std::fs::write(&args.output, page)
            .map_err(|error| format!("failed to write {}: {error}", args.output.display()))?;
        print::error(&format!("{}wrote {}", answers.head().text(), args.output.display()));
    }
    Ok(map.code())
}

//! `kubectl podlan report`: the report of each node in one archive, each in a folder of its own.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Ran, now};
use crate::answer;
use crate::archive::{Piece, archive};
use crate::ask::Asker;
use crate::cluster::{Answer, code};
use crate::print;

/// Where the archive goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The archive (.tar.gz), readable by its owner alone; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "podlan-cluster-report.tar.gz")]
    output: PathBuf,
    /// Print as JSON what was collected
    #[arg(long)]
    json: bool,
}

/// What was collected.
#[derive(serde::Serialize)]
struct Collected {
    #[serde(flatten)]
    head: crate::cluster::Head,
    ok: bool,
    output: String,
    /// The number of bytes that each node sent.
    bytes: std::collections::BTreeMap<String, usize>,
}

/// Collects and writes.
pub(crate) fn run(args: &Args, asker: &Asker) -> Ran {
    let to_stdout = args.output == Path::new("-");
    if to_stdout && (args.json || io::stdout().is_terminal()) {
        return Err("standard output is a terminal, or gets JSON: give --output a file".to_owned());
    }
    let sites = asker.sites()?;
    let answers = asker.of_each(&sites, |pod, container| {
        let said = asker.run(pod, container, &["report", "--output", "-"]).map_err(|error| error.to_string())?;
        match said.code {
            Some(0) => Ok(Answer { release: asker.release(pod, container), value: said.stdout, complaint: None }),
            _ => Err(answer::reason(&said)),
        }
    });
    let head = answers.head();
    let pieces = answers.nodes.iter().map(|(node, said)| Piece {
        node,
        report: said.as_ref().map(|answer| answer.value.as_slice()).map_err(String::as_str),
    });
    let tables = ["nodes", "pods"].map(|what| {
        let mut words = vec!["get", what, "--output", "wide"];
        if what == "pods" {
            words.extend(["--namespace", &asker.agents]);
        }
        (format!("{what}.txt"), answer::text(&asker.kubectl(&words)))
    });
    let bytes = archive(&head.text(), &tables, pieces, now())
        .map_err(|error| format!("failed to make the archive: {error}"))?;
    write(&args.output, &bytes).map_err(|error| format!("failed to write {}: {error}", args.output.display()))?;
    let code = code(false, head.is_incomplete());
    let sent = answers.given().map(|(node, answer)| (node.to_owned(), answer.value.len()));
    let collected = Collected { ok: code == 0, output: args.output.display().to_string(), bytes: sent.collect(), head };
    if to_stdout {
        print::error(&collected.head.text());
    } else {
        let text = || format!("{}wrote {}\n", collected.head.text(), collected.output);
        print::report(args.json, &collected, text)?;
    }
    Ok(code)
}

fn write(output: &Path, bytes: &[u8]) -> io::Result<()> {
    if output == Path::new("-") {
        let mut out = io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush());
    }
    // A file that is there may be readable by others: it is not written over.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output)?;
    file.write_all(bytes)
}

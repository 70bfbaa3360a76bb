//! `podlan-demo`: shows on this machine, as any user, that every pod is reached at its own address.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::{Command, ExitCode};

use clap::Parser;
use podlan_conformance::demo::{self, Sentence};
use podlan_conformance::lab::{INSIDE, binaries, enter};

/// Shows podlan at work: three nodes on this machine, two pods on each.
///
/// Runs as any user and leaves nothing behind. Exits with 0 only if everything held.
#[derive(Parser)]
#[command(name = "podlan-demo", version)]
struct Demo {
    /// shared, flat or nat; without it everything, and a picture.
    #[arg(value_enum, hide_possible_values = true)]
    sentence: Option<Sentence>,
}

fn main() -> ExitCode {
    let Demo { sentence } = Demo::parse();
    let done = if std::env::var_os(INSIDE).is_some() { show(sentence) } else { step_inside() };
    done.unwrap_or_else(|error| {
        eprintln!("\npodlan-demo: {error}");
        ExitCode::FAILURE
    })
}

/// Starts this program again inside a lab; the programs under test are those beside it.
fn step_inside() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let myself = std::env::current_exe()?;
    let mut lab = Command::new(binaries::lab()?);
    if std::env::var_os(binaries::FOLDER).is_none() {
        lab.env(binaries::FOLDER, myself.parent().map_or_else(OsString::new, Into::into));
    }
    let status = lab.args(["enter", "--"]).arg(&myself).args(std::env::args_os().skip(1)).status()?;
    Ok(enter::exit_code(status).into())
}

fn show(sentence: Option<Sentence>) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Ok(if demo::run(&mut out, colour, sentence)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! The demo: shows on this machine, as any user, that every pod is reached at its own address.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::{Command, ExitCode};

use podlan_conformance::demo;
use podlan_conformance::lab::{INSIDE, binaries, enter};

fn main() -> ExitCode {
    let done = if std::env::var_os(INSIDE).is_some() { tell() } else { step_inside() };
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

fn tell() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Ok(if demo::run(&mut out, colour)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

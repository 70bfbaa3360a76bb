//! The benchmark: podlan, its peers and the floor, in turn and in one run. scripts/bench calls it, each part in a lab
//! of its own.
//!
//! Owns the handling of the figures. Only ratios of one run can be compared: machines differ, and so do the minutes of
//! one machine.

#![expect(clippy::print_stdout, reason = "the tables are what this program is for")]

mod bars;
mod contender;
mod figures;
mod measure;
mod part;
mod report;
mod tools;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use figures::Figures;
use part::Part;
use tools::Tools;

/// A failure as a text: only a person reads why a benchmark could not continue.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// podlan, its peers and the floor.
#[derive(Debug, Parser)]
struct Cli {
    /// The file that keeps every sample.
    #[arg(long, value_name = "FILE")]
    results: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures one part, inside a lab, and adds it to the results.
    Measure {
        part: Part,
        /// Fewer rounds, and no crowds of thousands.
        #[arg(long)]
        quick: bool,
    },
    /// Writes the tables, plots and verdicts of the results into a folder, and prints them.
    Report { folder: PathBuf },
}

fn main() -> ExitCode {
    // Cargo passes an argument of its own.
    let arguments = std::env::args_os().filter(|argument| argument != "--bench");
    match run(&Cli::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Measure { part, quick } => {
            let mut figures = Figures::new();
            part.run(&Tools::find()?, *quick, &mut figures)?;
            let mut all = if cli.results.exists() { Figures::read(&cli.results)? } else { Figures::new() };
            all.merge(figures);
            all.write(&cli.results)
        }
        Command::Report { folder } => {
            let figures = Figures::read(&cli.results)?;
            let plots = report::plots(&figures, folder)?;
            let (tables, bars) = (report::all(&figures), bars::judge(&figures));
            let text = format!("# Measured by scripts/bench\n\n```text\n{bars}```\n\n{tables}{plots}");
            fs::write(folder.join("README.md"), text)?;
            fs::write(folder.join("short.md"), report::short(&figures))?;
            fs::write(folder.join("bars.json"), serde_json::to_string_pretty(&bars::as_json(&figures))? + "\n")?;
            println!("{tables}{bars}");
            Ok(())
        }
    }
}

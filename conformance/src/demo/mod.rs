//! The demo: three nodes of the lab, pods on each, the real binaries, and the addresses that every server saw.
//!
//! Owns which steps are taken and what is printed. Nodes, pods and reachability belong to the lab.

mod checks;
mod paths;
mod picture;
mod progress;
mod stage;
mod table;

use std::io::{self, Write};

use clap::ValueEnum;

use crate::lab::{Error, Lab};

use paths::Tried;
use progress::Progress;
use stage::Stage;

const NODES: u8 = 3;

/// The sentences that describe a pod network of Kubernetes; the demo shows each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sentence {
    /// The containers of a pod share address, ports and loopback.
    Shared,
    /// Every pod reaches every pod, on its own node and on others.
    Flat,
    /// No NAT between pods: the server sees the client's own address.
    Nat,
}

/// Runs the demo and prints it to `out`, in colour where `colour`; one sentence, or everything without one. Returns
/// whether everything held.
///
/// # Errors
/// When a step fails as a whole, such as a plugin that fails: the steps after it would show nothing.
pub fn run(out: &mut dyn Write, colour: bool, sentence: Option<Sentence>) -> Result<bool, Error> {
    let mut progress = Progress::new(out, colour);
    progress.title("podlan: every pod at its own address on one flat network").map_err(printing)?;
    let lab = progress.step("lab", || {
        let lab = Lab::new(NODES)?;
        Ok((lab, format!("{NODES} nodes on one LAN, each in namespaces of its own")))
    })?;
    let stage = Stage::set(&lab, &mut progress)?;
    match sentence {
        Some(Sentence::Shared) => shared(&stage, &mut progress),
        Some(Sentence::Flat) => flat(&stage, &mut progress),
        Some(Sentence::Nat) => nat(&stage, &mut progress),
        None => everything(&lab, &stage, &mut progress),
    }
}

fn shared(stage: &Stage<'_>, progress: &mut Progress<'_>) -> Result<bool, Error> {
    let held = checks::sharing(stage, progress);
    let closing = if held { "shared: one address, one port space, one loopback" } else { "not shared" };
    progress.closing(closing, held).map_err(printing)?;
    Ok(held)
}

fn flat(stage: &Stage<'_>, progress: &mut Progress<'_>) -> Result<bool, Error> {
    let tried = paths::ask_everyone(&stage.hosts, progress)?;
    progress.text(&table::draw(&stage.hosts, &tried)).map_err(printing)?;
    close(&tried, true, progress)
}

fn nat(stage: &Stage<'_>, progress: &mut Progress<'_>) -> Result<bool, Error> {
    let tried = paths::ask_everyone(&stage.hosts, progress)?;
    progress.text(&table::seen(&stage.hosts, &tried)).map_err(printing)?;
    close(&tried, true, progress)
}

fn everything(lab: &Lab, stage: &Stage<'_>, progress: &mut Progress<'_>) -> Result<bool, Error> {
    let tried = paths::ask_everyone(&stage.hosts, progress)?;
    let held = checks::all(lab, stage, progress)?;
    progress.text(&table::draw(&stage.hosts, &tried)).map_err(printing)?;
    progress.text(&picture::draw(lab, &stage.hosts)).map_err(printing)?;
    if !held {
        progress.text("not everything held: see the lines marked ✗ above").map_err(printing)?;
    }
    close(&tried, held, progress)
}

/// Prints the last line; returns whether every path kept its address and everything else `held`.
fn close(tried: &[Tried], held: bool, progress: &mut Progress<'_>) -> Result<bool, Error> {
    let kept = tried.iter().filter(|one| one.kept).count();
    let all = kept == tried.len() && held;
    progress.closing(&format!("flat: {kept} of {} paths kept their address", tried.len()), all).map_err(printing)?;
    Ok(all)
}

fn printing(source: io::Error) -> Error {
    Error::System { doing: "print the demo".into(), source }
}

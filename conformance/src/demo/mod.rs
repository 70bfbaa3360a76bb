//! The demo: the lab with a face. Three nodes, pods on each, the real binaries, and what every server saw.
//!
//! Owns the story and how it is told. What a node, a pod or a path is, the lab knows.

mod checks;
mod paths;
mod picture;
mod progress;
mod stage;
mod table;

use std::io::{self, Write};

use crate::lab::{Error, Lab};

use progress::Progress;
use stage::Stage;

const NODES: u8 = 3;

/// Tells the whole story on `out`; `colour` where a person looks at a terminal. Answers whether everything held.
///
/// # Errors
/// When a step could not be taken at all, as when a plugin fails: then the rest makes no sense.
pub fn run(out: &mut dyn Write, colour: bool) -> Result<bool, Error> {
    let mut progress = Progress::new(out, colour);
    progress.title("podlan: every pod at its own address on one flat network").map_err(said)?;
    let lab = progress.step("lab", || {
        let lab = Lab::new(NODES)?;
        Ok((lab, format!("{NODES} nodes on one LAN, each in namespaces of its own")))
    })?;
    let stage = Stage::set(&lab, &mut progress)?;
    let answers = paths::ask_everyone(&stage.hosts, &mut progress)?;
    let held = checks::all(&lab, &stage, &mut progress)?;

    let kept = answers.iter().filter(|answer| answer.kept).count();
    progress.text(&table::draw(&stage.hosts, &answers)).map_err(said)?;
    progress.text(&picture::draw(&lab, &stage.hosts)).map_err(said)?;
    let all = kept == answers.len() && held;
    if !held {
        progress.text("not everything held: see the lines marked ✗ above").map_err(said)?;
    }
    progress.closing(&format!("flat: {kept} of {} paths kept their address", answers.len()), all).map_err(said)?;
    Ok(all)
}

fn said(source: io::Error) -> Error {
    Error::System { doing: "tell the story".into(), source }
}

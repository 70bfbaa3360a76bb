//! The sizes of the programs and the cost of their start: bytes, and the instructions of a call that only prints its
//! versions.

use std::fs;
use std::process::Command;

use podlan_conformance::cost;
use podlan_conformance::lab::binaries;

use crate::Failure;
use crate::figures::Figures;
use crate::tools::Tools;

pub(crate) fn run(tools: &Tools, figures: &mut Figures) -> Result<(), Failure> {
    let ours = ["podlan", "podlan-ipam", "podlan-node"].map(|name| (name, binaries::find(name)));
    let theirs = tools
        .reference()
        .into_iter()
        .flat_map(|folder| ["ptp", "bridge", "host-local"].map(|name| (name, Ok(folder.join(name)))));
    for (name, path) in ours.into_iter().chain(theirs) {
        #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
        let megabytes = fs::metadata(path?)?.len() as f64 / 1e6;
        figures.add("sizes", "on disk", name, "MB", megabytes);
    }
    // The peers are written in Go; valgrind counts their threads differently each time.
    for (name, program) in [("podlan", &tools.podlan), ("podlan-ipam", &tools.ipam)] {
        let mut command = Command::new(program);
        command.env_clear().env("CNI_COMMAND", "VERSION");
        #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
        let instructions = cost::instructions(&command, br#"{ "cniVersion": "1.0.0" }"#)? as f64;
        figures.add("sizes", "start, VERSION", name, "instructions", instructions);
    }
    Ok(())
}

//! What the programs weigh: bytes on disk.

use std::fs;

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
        figures.add("sizes", "binary", name, "MB", megabytes);
    }
    Ok(())
}

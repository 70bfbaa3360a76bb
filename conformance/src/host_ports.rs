//! What podlan keeps of host ports on a node of the lab.

use crate::lab::{Error, Node};

/// The table of host ports, as `nft` prints it; what nft says where there is none.
///
/// # Errors
/// [`Error`] when `nft` cannot be run.
pub fn table(node: &Node) -> Result<String, Error> {
    let output = node.command("nft").args(["list", "table", "inet", "podlan-hostport"]).run()?;
    Ok(output.stdout + &output.stderr)
}

/// The names of the records of host ports on a node.
pub fn records(node: &Node) -> Vec<String> {
    let listed = std::fs::read_dir(node.path("/run/podlan/_hostports"));
    let names = listed.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name != "lock" && !name.ends_with(".new")).collect();
    names.sort_unstable();
    names
}

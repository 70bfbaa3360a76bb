//! Deliberate bugs: changes of the source, each behind a switch, in a copy of it.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// The list.
const LIST: &str = include_str!("../bugs/bugs.txt");

/// The variable that names the bug that is switched on, by its number from 1.
pub const SWITCH: &str = "PODLAN_SIMULATION_BUG";

/// A bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// What it is, in words.
    pub name: &'static str,
    /// The file, from the top of the repository.
    pub file: &'static str,
    /// The text that is changed.
    pub old: &'static str,
    /// What it becomes.
    pub new: &'static str,
    /// A longer text in which `old` is found, where `old` occurs elsewhere too.
    pub within: Option<&'static str>,
}

/// All bugs, in their order.
pub fn bugs() -> Vec<Bug> {
    let entries = LIST.split("\n\n").filter(|entry| entry.trim_start().starts_with("bug "));
    entries
        .map(|entry| {
            let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let text = |name| field(name).unwrap_or_default();
            Bug { name: text("bug"), file: text("file"), old: text("old"), new: text("new"), within: field("as") }
        })
        .collect()
}

/// Plants all bugs in a copy of the source.
///
/// # Errors
/// Where a file cannot be read or written, or does not have the text.
pub fn plant(tree: &Path) -> io::Result<()> {
    let mut files: Vec<(&str, String)> = Vec::new();
    for (index, bug) in bugs().iter().enumerate() {
        let place = match files.iter().position(|(file, _)| *file == bug.file) {
            Some(place) => place,
            None => {
                files.push((bug.file, std::fs::read_to_string(tree.join(bug.file))?));
                files.len() - 1
            }
        };
        let text = &mut files[place].1;
        let within = bug.within.unwrap_or(bug.old);
        let missing = || io::Error::other(format!("{}: the text of the bug {:?} is not there", bug.file, bug.name));
        // What was planted here before contains the text too.
        let at = text.find(within).ok_or_else(missing)?;
        let at = at + within.find(bug.old).ok_or_else(missing)?;
        let planted = format!("(if planted({}) {{ {} }} else {{ {} }})", index + 1, bug.new, bug.old);
        text.replace_range(at..at + bug.old.len(), &planted);
    }
    for (file, mut text) in files {
        let _ = write!(
            text,
            "\n/// Whether a deliberate bug is switched on.\nfn planted(number: u32) -> bool {{\n    static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();\n    *ON.get_or_init(|| std::env::var(\"{SWITCH}\").ok().and_then(|on| on.parse().ok()).unwrap_or(0)) == number\n}}\n"
        );
        std::fs::write(tree.join(file), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_has_a_name_and_its_text_is_in_the_source() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let all = bugs();
        assert!(all.len() >= 20, "{}", all.len());
        for bug in all {
            let text = std::fs::read_to_string(tree.join(bug.file)).unwrap_or_default();
            let within = bug.within.unwrap_or(bug.old);
            assert!(
                !bug.name.is_empty() && !bug.new.is_empty() && text.contains(within) && within.contains(bug.old),
                "{bug:?}"
            );
        }
    }
}

//! Subcommands and flags with their value names, defaults and variables, read from the help; the sentences are left out.

use std::fmt::Write as _;
use std::process::Command;

use podlan_conformance::lab::{Error, binaries};

use super::recorded::is_as_recorded;

/// The words under `Commands:`.
fn subcommands(help: &str) -> Vec<&str> {
    let under = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = under.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").collect()
}

/// A line's frozen parts: a flag with its value name, an argument, the usage, a possible value; a default and a
/// variable, which are in brackets at the end of a sentence.
fn frozen(line: &str) -> Vec<String> {
    let text = line.trim();
    let mut parts = Vec::new();
    if text.starts_with("Usage:") {
        return vec![text.to_owned()];
    }
    if let Some(value) = text.strip_prefix("- ") {
        parts.extend(value.split(':').next().map(|value| format!("- {value}")));
    } else if text.starts_with(['-', '<']) {
        // Two spaces separate a flag from its sentence, where both are in one line.
        parts.extend(text.split("  ").next().map(str::to_owned));
    }
    let bracketed = text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    let ours = bracketed.filter(|inner| ["default: ", "env: "].iter().any(|word| inner.starts_with(word)));
    parts.extend(ours.map(|inner| format!("  [{inner}]")));
    parts
}

fn help(program: &str, arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new(binaries::find(program)?).args(arguments).arg("--help").output();
    let output = output.map_err(Error::system(format!("run {program} --help")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn describe(program: &str, arguments: &[&str], all: &mut String) -> Result<(), Error> {
    let help = help(program, arguments)?;
    writeln!(all, "{}", [&[program], arguments].concat().join(" ")).ok();
    for line in help.lines().flat_map(frozen) {
        writeln!(all, "    {line}").ok();
    }
    subcommands(&help).into_iter().try_for_each(|word| describe(program, &[arguments, &[word]].concat(), all))
}

#[test]
fn the_subcommands_and_flags_are_as_recorded() {
    let mut all = String::new();
    describe("podlan-node", &[], &mut all).unwrap_or_else(|error| panic!("{error}"));
    assert!(all.contains("--masquerade") && all.contains("podlan-node adopt"), "the help is not read: {all}");
    is_as_recorded("flags.txt", &all);
}

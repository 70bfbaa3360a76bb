//! The man pages (deploy/man) and the completions of shells (deploy/completions) are those of the command line. Tests only.
//!
//! They are recorded files, so that a package is made without a build, and the agent does not contain their generators:
//! `PODLAN_GOLDEN=record cargo test -p podlan-node deploy::pages` writes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::command::Cli;

/// System administration commands.
const SECTION: &str = "8";

/// The command line as the pages show it: without the commit, which each build has of its own.
fn command() -> Command {
    let mut command =
        Cli::command().name("podlan-node").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    command.build();
    command
}

/// A page for `podlan-node`, and one for each of its commands.
fn man() -> BTreeMap<String, String> {
    let command = command();
    // A command without a version has a page without one.
    let subcommands = command.get_subcommands().map(|sub| sub.clone().version(env!("CARGO_PKG_VERSION")));
    let all: Vec<_> = subcommands.chain([command.clone()]).collect();
    let page = |command: Command| {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let mut page = Vec::new();
        Man::new(command).section(SECTION).manual("podlan").render(&mut page).unwrap();
        (format!("{name}.{SECTION}"), String::from_utf8(page).unwrap())
    };
    all.into_iter().map(page).collect()
}

/// A file for each shell, by the name under which the shell looks for it.
fn completions() -> BTreeMap<String, String> {
    let shells = [("podlan-node.bash", Shell::Bash), ("_podlan-node", Shell::Zsh), ("podlan-node.fish", Shell::Fish)];
    let file = |(name, shell): (&str, Shell)| {
        let mut file = Vec::new();
        generate(shell, &mut command(), "podlan-node", &mut file);
        let text = String::from_utf8(file).unwrap();
        // clap_complete 4.6.12 names the cases of bash in two ways where the program's name has a hyphen: none would match.
        let text = if shell == Shell::Bash { text.replace("podlan__subcmd__node", "podlan__node") } else { text };
        (name.to_owned(), text)
    };
    shells.into_iter().map(file).collect()
}

/// Compares `made` with the files of `deploy/FOLDER`, or writes them.
#[track_caller]
fn are_as_recorded(folder: &str, made: &BTreeMap<String, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(folder);
    if std::env::var_os("PODLAN_GOLDEN").is_some_and(|mode| mode == "record") {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        return made.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    let recorded: BTreeMap<String, String> = files(&folder)
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .collect();
    let differ: Vec<&String> =
        recorded.keys().chain(made.keys()).filter(|name| recorded.get(*name) != made.get(*name)).collect();
    assert!(differ.is_empty(), "{differ:?}: record them: PODLAN_GOLDEN=record cargo test -p podlan-node deploy::pages");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_man_pages_are_those_of_the_command_line() {
    are_as_recorded("man", &man());
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    are_as_recorded("completions", &completions());
}

/// The pages and completions of one machine are those of every other.
#[test]
fn neither_has_a_value_of_the_environment() {
    let all = man().into_values().chain(completions().into_values());
    for text in all {
        for line in text.lines() {
            assert!(!line.contains("[env: ") && !line.contains("commit"), "{line}");
        }
    }
}

//! The pages quote programs, name files and link to each other: the programs print what is quoted, and the files exist.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Printed by the runtime, not by podlan.
const FOREIGN: [&str; 1] = ["cni plugin not initialized"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The sources of what ships, below `folder`.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn texts_quoted_in_troubleshooting_are_printed_by_the_programs() {
    let mut text = String::new();
    for part in [
        "cni/src",
        "ipam/src",
        "ipam/store/src",
        "migration/src",
        "netlink/src",
        "nftables/src",
        "node",
        "plugin/src",
        "podlink/src",
    ] {
        sources(&root().join(part), &mut text);
    }
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    // What is between fences is output of a run, which another test records.
    let page: String = page.split("```").step_by(2).collect();
    let quoted: Vec<&str> = page.split('"').skip(1).step_by(2).filter(|quote| !FOREIGN.contains(quote)).collect();
    assert!(quoted.len() > 12, "{quoted:?}");
    let strange: Vec<_> = quoted.into_iter().filter(|quote| !text.contains(quote)).collect();
    assert!(strange.is_empty(), "nothing prints these: {strange:?}");
}

#[test]
fn the_targets_of_links_in_the_pages_exist() {
    let docs = root().join("docs");
    let files = [docs.clone(), docs.join("bench")].map(|folder| fs::read_dir(folder).unwrap());
    let pages = files.into_iter().flatten().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|extension| extension == "md"));
    for page in pages.chain(["README.md", "README.ko.md", "CONTRIBUTING.md"].map(|page| root().join(page))) {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = page.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(file.exists(), "{}: {link}", page.display());
        }
        let scripts = text.split(['`', ' ', '\n']).filter(|word| word.starts_with("scripts/"));
        for script in scripts.map(|word| word.trim_end_matches(['.', ',', ')', ':', ';'])) {
            assert!(root().join(script).exists(), "{}: {script}", page.display());
        }
    }
}

/// Whether a word between backticks names a file or directory of the repository, and not one of a node, a pattern or an
/// option.
fn is_path(word: &str) -> bool {
    let of_a_file = [".rs", ".md", ".toml", ".txt"].iter().any(|end| word.ends_with(end));
    (word.contains('/') || of_a_file) && !word.starts_with(['/', '-', '.']) && !word.contains([' ', '*', ':', '<', '='])
}

#[test]
fn the_files_that_the_pages_for_developers_name_exist() {
    let mut missing = Vec::new();
    for page in ["docs/architecture.md", "docs/layout.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        // A fence is three backticks: the text in it is no word.
        let prose: String = text.split("```").step_by(2).collect();
        let named: Vec<&str> = prose.split('`').skip(1).step_by(2).filter(|word| is_path(word)).collect();
        assert!(named.len() > 10, "{page}: {named:?}");
        let gone = named.into_iter().filter(|word| !root().join(word).exists());
        missing.extend(gone.map(|word| format!("{page}: {word}")));
    }
    assert!(missing.is_empty(), "these do not exist:\n{}", missing.join("\n"));
}

/// The crates of the workspace that the crate in `folder` depends on, by their names.
fn uses<'a>(folder: &Path, crates: &[&'a str]) -> BTreeSet<&'a str> {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let names: Vec<&str> =
        lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split(['.', ' ']).next()).collect();
    crates.iter().copied().filter(|name| names.contains(name)).collect()
}

#[test]
fn the_table_of_the_crates_has_the_arrows_of_cargo() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    // `| `FOLDER/` | what | NAME, NAME |`
    let rows: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .filter_map(|row| Some((row.split_once("/` | ")?.0, row.rsplit_once(" | ")?.1)))
        .collect();
    let crates: Vec<&str> = rows.iter().map(|(folder, _)| folder.rsplit('/').next().unwrap()).collect();
    assert!(crates.len() > 18, "{crates:?}");
    let mut wrong = Vec::new();
    for (folder, used) in rows.iter().filter(|(_, used)| !used.starts_with("all ") && *used != "the programs") {
        if !root().join(folder).exists() {
            wrong.push(format!("{folder} does not exist"));
            continue;
        }
        let (said, real) =
            (used.split(", ").filter(|name| *name != "none").collect(), uses(&root().join(folder), &crates));
        if real != said {
            wrong.push(format!("{folder}: the table has {said:?}, cargo has {real:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

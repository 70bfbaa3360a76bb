//! Which tests name which requirements, by their sources: a Rust test in its comments or body, a Go test in its name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A test, by the suite that runs it and its own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    /// The crate by the name of [`suite_of`], or `harness`.
    pub(crate) suite: String,
    /// The function's name; of a Go case its words, joined as `go test` joins them.
    pub(crate) name: String,
}

/// The suite of the Go tests.
pub(crate) const HARNESS: &str = "harness";

/// The suite of a package's tests: `podlan-cni` is `cni`, and `podlan` itself is `plugin`.
pub(crate) fn suite_of(package: &str) -> String {
    package.strip_prefix("podlan-").unwrap_or(if package == "podlan" { "plugin" } else { package }).to_owned()
}

/// Each test with the requirements that it names.
pub(crate) type Named = BTreeMap<Test, BTreeSet<String>>;

/// The Rust tests of all crates.
///
/// # Errors
/// Of reading.
pub(crate) fn in_rust(root: &Path) -> io::Result<Named> {
    let mut named = Named::new();
    for (package, crate_root) in packages(root)? {
        for folder in ["src", "tests"] {
            for file in files(&crate_root.join(folder), "rs")? {
                for (name, ids) in tests_of(&fs::read_to_string(file)?) {
                    named.entry(Test { suite: suite_of(&package), name }).or_default().extend(ids);
                }
            }
        }
    }
    Ok(named)
}

/// The packages of the workspace with their folders, which lie in the root or in a folder of it.
fn packages(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let folders = |of: &Path| -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(of)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        Ok(entries.into_iter().filter(|path| path.is_dir() && !path.ends_with("target")).collect())
    };
    let mut found = Vec::new();
    for outer in folders(root)? {
        let inner = folders(&outer)?;
        for folder in std::iter::once(outer).chain(inner) {
            let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
            let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
            found.extend(name.map(|name| (name.to_owned(), folder.clone())));
        }
    }
    Ok(found)
}

/// The Go tests: every string that begins with a requirement is the name of a case.
///
/// # Errors
/// Of reading.
pub(crate) fn in_go(folder: &Path) -> io::Result<Named> {
    let mut named = Named::new();
    for file in files(folder, "go")? {
        let text = fs::read_to_string(file)?;
        for literal in text.split('"').filter(|literal| starts_with_id(literal)) {
            let name = literal.trim().replace(' ', "_");
            named.entry(Test { suite: HARNESS.to_owned(), name }).or_default().extend(ids_in(literal));
        }
    }
    Ok(named)
}

fn files(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(found) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The `#[test]` functions of a source, each with the requirements in the comment above it and in its body.
fn tests_of(source: &str) -> Vec<(String, BTreeSet<String>)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut tests = Vec::new();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "#[test]") {
        let above =
            lines[..at].iter().rev().take_while(|line| line.trim().starts_with("//") || line.trim().starts_with("#["));
        let Some(function) = lines[at..].iter().find_map(|line| line.trim().strip_prefix("fn ")) else { continue };
        let name = function.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let body = lines[at..].iter().take_while(|line| **line != end);
        let ids = above.chain(body).flat_map(|line| ids_in(line)).collect();
        tests.push((name.to_owned(), ids));
    }
    tests
}

/// The requirements in a text: S-001, H-069, E-24, D-15, D-K03.
fn ids_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| is_id(word)).map(str::to_owned).collect()
}

fn starts_with_id(text: &str) -> bool {
    text.split(' ').next().is_some_and(is_id)
}

fn is_id(word: &str) -> bool {
    let Some((kind, number)) = word.split_once('-') else { return false };
    let number = if kind == "D" { number.trim_start_matches('K') } else { number };
    matches!(kind, "S" | "H" | "E" | "D")
        && (2..=3).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit())
}

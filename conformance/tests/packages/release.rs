//! Where the artefacts are, and the programs that read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use podlan_conformance::lab::set_aside;

/// Of the programs and packages under test.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const LONG_FORM: &str = "scripts/test-packages makes it";

/// The file or folder that `variable` names, which scripts/test-packages sets; without it the test is set aside.
pub(crate) fn named(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        set_aside(&format!("no {variable}: {LONG_FORM}"));
    }
    found
}

/// The one artefact of this machine's architecture whose name ends with `end`; without a release the test is set aside.
pub(crate) fn artefact(end: &str) -> Option<PathBuf> {
    let folder = named("PODLAN_PACKAGES")?;
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let fits: Vec<PathBuf> = names.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    let [one] = fits.try_into().unwrap_or_else(|all| panic!("one {end} in {}: {all:?}", folder.display()));
    Some(one)
}

/// This machine's architecture as debs, images and tarballs name it.
pub(crate) fn goarch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("no release has {other}"),
    }
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Runs a script of the repository with a fixed time for all files; the last line that it prints.
#[track_caller]
pub(crate) fn script(name: &str, words: &[&str]) -> String {
    let mut command = Command::new(repository().join("scripts").join(name));
    let output = command.args(words).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().lines().last().unwrap_or_default().to_owned()
}

/// Output of a program that must succeed.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A script for bash: what the completion in the file `$1` proposes for `podlan-node do` and for `podlan-node doctor --ker`.
pub(crate) const COMPLETE: &str = r#"
    source "$1"
    complete=$(complete -p podlan-node | sed 's/.*-F \([^ ]*\).*/\1/')
    COMP_WORDS=(podlan-node do) COMP_CWORD=1
    $complete podlan-node do podlan-node
    echo "${COMPREPLY[@]}"
    COMP_WORDS=(podlan-node doctor --ker) COMP_CWORD=2
    $complete podlan-node --ker doctor
    echo "${COMPREPLY[@]}"
"#;

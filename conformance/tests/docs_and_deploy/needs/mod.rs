//! The programs that the scripts and the tests start are essential in Debian, listed in scripts/needs*.txt, or named by
//! a script that finds them missing: a machine with only what those lists name runs them all. `scripts/test-as-new`
//! tries it on one.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

mod installed;
mod machine;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Of bash itself.
const BUILTINS: &str = "! . : [ break builtin cd command continue declare echo eval exec exit export false \
    getopts kill let local mapfile popd printf pushd pwd read readarray readonly return set shift shopt source test time \
    trap true type ulimit umask unset wait";

/// Of the packages that Debian marks essential, or that those need: coreutils, util-linux, sed, grep, findutils, gzip,
/// tar, diffutils, mawk, hostname, libc-bin, dpkg, passwd. Only the used ones.
const ESSENTIAL: &str = "awk basename bash cat chmod chown chroot cmp comm cp cut date dirname dpkg dpkg-deb dpkg-query du \
    diff env find flock getconf getent grep gzip head hostname id install ldd ln ls mkdir mkfifo mktemp mount mv nice nproc nsenter \
    paste pivot_root prlimit readlink realpath rm sed seq setpriv sh sha256sum sleep sort stat sync tail tar tee timeout touch tr \
    umount uname uniq unshare useradd wc xargs";

/// Programs for which a script looks itself, and prints how to get them where they are missing: the program, the
/// script, and the program of its package that the script looks for.
const NAMED: [(&str, &str, &str); 12] = [
    ("rustup", "scripts/toolchain", "rustup"),
    ("cargo", "scripts/toolchain", "cargo"),
    ("rustc", "scripts/toolchain", "cargo"),
    ("go", "scripts/kubernetes-binaries", "find-go"),
    ("apt-get", "scripts/debian-mirror", "apt-get"),
    ("apt-cache", "scripts/debian-mirror", "apt-get"),
    ("apt-config", "scripts/debian-mirror", "apt-get"),
    ("docker", "scripts/kind-up", "docker"),
    ("kind", "scripts/kind-up", "kind"),
    ("kubectl", "scripts/kind-up", "kubectl"),
    ("npm", "scripts/supply-chain", "npm"),
    ("node", "scripts/supply-chain", "npm"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files below `folder`, without build products.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Each script of bash with its text.
fn scripts() -> Vec<(PathBuf, String)> {
    let mut found: Vec<PathBuf> = ["scripts", ".ci"].iter().flat_map(|folder| files(&root().join(folder))).collect();
    found.push(root().join("conformance/harness/run"));
    let texts = found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    texts.filter(|(_, text)| text.starts_with("#!") && text.lines().next().unwrap().contains("bash")).collect()
}

/// The files that `script` sources: their functions are no programs, and what those start it starts.
fn sourced(path: &Path, script: &str) -> String {
    let files = script.lines().filter_map(|line| {
        let file = line.strip_prefix("source ")?.trim_matches('"');
        // The folder of the script, `"$(dirname ...)/` or `"$here/`, or the root of the repository, where it went before.
        let beside = file.rsplit_once(")/").or_else(|| file.strip_prefix('$')?.split_once('/'));
        Some(beside.map_or_else(|| root().join(file), |(_, file)| path.with_file_name(file)))
    });
    files.filter_map(|file| fs::read_to_string(file).ok()).map(|text| text + "\n").collect()
}

/// The lists by name, `needs.txt`, `needs-fuzz.txt`, with their programs.
fn lists() -> BTreeMap<String, BTreeSet<String>> {
    let texts = files(&root().join("scripts")).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        (name.starts_with("needs") && path.extension()? == "txt").then(|| (name, fs::read_to_string(path).unwrap()))
    });
    let programs = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.flat_map(|line| line.split_whitespace().next().unwrap().split('|')).map(str::to_owned).collect()
    };
    texts.map(|(name, text)| (name, programs(text))).collect()
}

/// The lists that `script` has installed: `scripts/needs` installs needs.txt, `scripts/needs fuzz` needs-fuzz.txt too.
fn installed(script: &str) -> Vec<String> {
    let calls = script.lines().filter_map(|line| line.split_once("scripts/needs"));
    let list = |(_, rest): (&str, &str)| {
        let word = rest.strip_prefix(' ').unwrap_or("");
        let word: String = word.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '-').collect();
        if word.is_empty() { "needs.txt".to_owned() } else { format!("needs-{word}.txt") }
    };
    calls.map(list).chain(["needs.txt".to_owned()]).collect()
}

/// The literal names after `opening` in a source, such as `Command::new("` or `exec.Command("`.
fn named(source: &str, opening: &str) -> BTreeSet<String> {
    let behind = source.split(opening).skip(1).filter_map(|rest| rest.split_once('"'));
    let is_name = |name: &String| name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    behind.map(|(name, _)| name.to_owned()).filter(is_name).collect()
}

fn words(list: &str) -> BTreeSet<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn each_program_that_a_script_starts_is_essential_or_listed_or_named_where_it_is_missing() {
    let (lists, own) = (lists(), words(&format!("{BUILTINS} {ESSENTIAL}")));
    let mut strange = Vec::new();
    let scripts = scripts();
    assert!(scripts.len() > 25, "{}", scripts.len());
    for (path, text) in &scripts {
        let here: BTreeSet<&String> = installed(text).iter().filter_map(|name| lists.get(name)).flatten().collect();
        for program in shell::programs(&format!("{}\n{text}", sourced(path, text))) {
            let named = NAMED.iter().any(|(name, ..)| *name == program);
            if !own.contains(&program) && !here.contains(&program) && !named {
                strange.push(format!("{}: {program}", path.display()));
            }
        }
    }
    assert!(strange.is_empty(), "no list in scripts/ has what these start:\n{}", strange.join("\n"));
}

#[test]
fn each_program_that_a_test_starts_is_essential_or_listed() {
    let lists = lists();
    let own = words(ESSENTIAL);
    let mut strange = Vec::new();
    for path in files(&root().join("conformance")) {
        let openings: &[&str] = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => &["Command::new(\"", ".command(\"", ".under(\""],
            Some("go") => &["exec.Command(\""],
            _ => continue,
        };
        let source = fs::read_to_string(&path).unwrap();
        for program in openings.iter().flat_map(|opening| named(&source, opening)) {
            let ours = program.starts_with("podlan") || program == "go";
            // Of these tests, those that start more are set aside unless scripts/test-packages runs them.
            let packages = path.components().any(|part| part.as_os_str() == "packages")
                && lists["needs-packages.txt"].contains(&program);
            if !ours && !own.contains(&program) && !lists["needs.txt"].contains(&program) && !packages {
                strange.push(format!("{}: {program}", path.display()));
            }
        }
    }
    assert!(strange.is_empty(), "scripts/needs.txt lacks what these start:\n{}", strange.join("\n"));
}

#[test]
fn each_script_looks_for_the_programs_that_it_names() {
    for (program, script, looked_for) in NAMED {
        let text = fs::read_to_string(root().join(script)).unwrap();
        let looks = text.lines().map(str::trim_start).any(|line| {
            let conditional = line.contains("command -v") || line.starts_with("for program in") || line.contains("||");
            conditional && line.contains(looked_for)
        });
        assert!(looks, "{script} does not look for {program}");
    }
}

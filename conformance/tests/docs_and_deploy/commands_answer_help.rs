//! Every script of scripts/ and .ci, the demo and the lab answer `--help` with one screen, and refuse unknown arguments
//! with exit code 2, before they start or build anything.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A terminal of 80 by 24, with a line left for the prompt.
const SCREEN: (usize, usize) = (80, 23);

/// The programs that a script may use to print its help. There are no others in its PATH: one that starts a compiler, a
/// package manager or a download prints "command not found".
const TOOLS: [&str; 5] = ["awk", "bash", "dirname", "realpath", "sed"];

/// Arguments of these scripts that are not options are free text: a folder, or a part of a name.
const FREE: [&str; 8] =
    ["krew", "mutants", "release", "sbom", "test", "test-kubernetes", "test-settings", "test-upgrade"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn scripts() -> Vec<PathBuf> {
    let files = [root().join("scripts"), root().join(".ci")].map(|folder| fs::read_dir(folder).unwrap());
    let files = files.into_iter().flatten().map(|entry| entry.unwrap());
    let executable = |entry: &fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
    };
    let mut scripts: Vec<PathBuf> = files.filter(executable).map(|entry| entry.path()).collect();
    scripts.sort();
    scripts
}

/// A directory that is PATH and HOME of a script, with [`TOOLS`] alone.
struct Bare(tempfile::TempDir);

impl Bare {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        for tool in TOOLS {
            let found = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(tool));
            let found = found.iter().find(|path| path.exists()).unwrap();
            symlink(fs::canonicalize(found).unwrap(), folder.path().join("bin").join(tool)).unwrap();
        }
        Self(folder)
    }

    fn run(&self, script: &Path, argument: &str) -> Output {
        let home = self.0.path().join("home");
        let mut command = Command::new(script);
        command.env_clear().env("PATH", self.0.path().join("bin")).env("HOME", &home).current_dir(&home);
        let output = command.arg(argument).output().unwrap();
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "{} {argument} wrote to HOME", script.display());
        output
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One screen on stdout that has `usage`, and nothing else.
fn is_help(of: &str, output: &Output, usage: &str) {
    let help = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{of}: {output:?}");
    assert!(help.contains(usage), "{of}: {help}");
    let (columns, lines) = (help.lines().map(|line| line.chars().count()).max().unwrap(), help.lines().count());
    assert!(columns <= SCREEN.0 && lines <= SCREEN.1, "{of}: {lines} lines of {columns} columns\n{help}");
}

fn is_refusal(of: &str, output: &Output, argument: &str, usage: &str) {
    let stderr = text(&output.stderr);
    assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{of}: {output:?}");
    let [why, how] = stderr.lines().collect::<Vec<_>>()[..] else { panic!("{of}: {stderr}") };
    assert!(why.contains(argument), "{of}: {why}");
    assert!(how.starts_with("usage: ") && how.contains(usage), "{of}: {how}");
}

#[test]
fn every_script_prints_its_help_on_one_screen_and_starts_nothing() {
    let (bare, scripts) = (Bare::new(), scripts());
    assert!(scripts.len() > 25, "{scripts:?}");
    for script in scripts {
        let name = script.strip_prefix(root()).unwrap().display().to_string();
        for argument in ["--help", "-h"] {
            is_help(&name, &bare.run(&script, argument), &format!("  {name}"));
        }
    }
}

#[test]
fn every_script_refuses_an_argument_that_it_does_not_know_and_starts_nothing() {
    let bare = Bare::new();
    for script in scripts() {
        let name = script.strip_prefix(root()).unwrap().display().to_string();
        let free = FREE.contains(&script.file_name().unwrap().to_str().unwrap());
        for argument in ["--no-such-option", "no-such-word"].into_iter().take(if free { 1 } else { 2 }) {
            is_refusal(&name, &bare.run(&script, argument), argument, &name);
        }
    }
}

#[test]
fn the_demo_and_the_lab_print_their_help_and_refuse_what_they_do_not_know() {
    for (name, program) in
        [("podlan-demo", env!("CARGO_BIN_EXE_podlan-demo")), ("podlan-lab", env!("CARGO_BIN_EXE_podlan-lab"))]
    {
        let run = |argument| Command::new(program).arg(argument).output().unwrap();
        is_help(name, &run("-h"), &format!("Usage: {name}"));
        let help = text(&run("--help").stdout);
        assert!(help.contains(&format!("Usage: {name}")), "{help}");
        assert_eq!(text(&run("--version").stdout), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
        for argument in ["--no-such-option", "no-such-word"] {
            let output = run(argument);
            assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{name}: {output:?}");
            assert!(text(&output.stderr).contains(argument), "{name}: {output:?}");
        }
    }
}

#[test]
fn an_option_without_its_value_ends_a_script() {
    let bare = Bare::new();
    for (name, option) in [
        ("differential", "--fuzz"),
        ("image", "--output"),
        ("image", "--binaries"),
        ("kind-up", "--name"),
        ("kind-up", "--ip-family"),
        ("kind-up", "--image"),
        ("kind-up", "--load"),
        ("kind-up", "--kube-proxy"),
        ("apply", "--api-server"),
        ("apply", "--image"),
        ("chart", "--output"),
        ("packages", "--binaries"),
        ("release", "--binaries"),
        ("uninstall", "--image"),
        ("test-as-new", "--output"),
        ("test-kind", "--ip-family"),
        ("test-kind", "--kube-proxy"),
        ("test-kind", "--checks"),
    ] {
        let script = root().join("scripts").join(name);
        is_refusal(name, &bare.run(&script, option), option, &format!("scripts/{name}"));
    }
}

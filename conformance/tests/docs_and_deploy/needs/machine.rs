//! A machine that has only the essential packages of Debian, as far as a script can tell: a PATH of links to their
//! programs, an empty home, and programs that only write down how they are called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{ESSENTIAL, root};

/// The directories of the real machine's programs.
const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

pub(crate) struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("bin")).unwrap();
        for name in ESSENTIAL.split_whitespace() {
            let below = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
            if let Some(below) = below {
                symlink(below, home.path().join("bin").join(name)).unwrap();
            }
        }
        Self { home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Puts a script of sh at `path`, below the home.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Adds a program that writes down its name and arguments, and then runs `text`.
    pub(crate) fn add(&self, name: &str, text: &str) {
        self.put(&format!("bin/{name}"), &format!("echo \"{name} $*\" >>\"$HOME/calls\"\n{text}"));
    }

    /// The calls that the added programs wrote down, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.home().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    pub(crate) fn run(&self, script: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let path: PathBuf = self.home().join("bin");
        let mut command = Command::new(root().join(script));
        command.args(words).env_clear().env("HOME", self.home()).env("PATH", path);
        command.env("CARGO_TARGET_DIR", self.home().join("target")).envs(variables.iter().copied());
        command.output().unwrap()
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

//! Which versions of CNI another plugin speaks: it is asked (VERSION), once for each binary. The question is bounded in time, and
//! a plugin that does not answer speaks nothing newer.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a plugin may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// More than the answer has, bytes.
const LONGEST: u64 = 64 * 1024;

/// The binary: device, inode, size, and the moment of its last change.
type Binary = (u64, u64, u64, i64, i64);

/// What has been asked.
static ASKED: Mutex<Vec<(PathBuf, Binary, bool)>> = Mutex::new(Vec::new());

/// Whether the plugin at this path speaks a version. A question that failed is not repeated before its binary changes.
pub(crate) fn speaks(path: &Path, version: &str) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let binary = (metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, _, speaks)) = asked.iter().find(|(known, of, _)| known == path && *of == binary) {
        return *speaks;
    }
    let speaks = metadata.is_file() && ask(path).is_some_and(|answer| names(&answer, version));
    asked.retain(|(known, _, _)| known != path);
    asked.push((path.to_owned(), binary, speaks));
    speaks
}

/// The answer of a plugin to VERSION.
fn ask(path: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new(path);
    command.env_clear().env("CNI_COMMAND", "VERSION").env("CNI_PATH", "/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let until = Instant::now() + PATIENCE;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < until => thread::sleep(PAUSE),
            _ => break None,
        }
    };
    if ended.is_none() {
        // It may have ended in between.
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut answer = Vec::new();
    ended.filter(|status| status.success())?;
    child.stdout.take()?.take(LONGEST).read_to_end(&mut answer).ok()?;
    Some(answer)
}

fn names(answer: &[u8], version: &str) -> bool {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    answer["supportedVersions"].as_array().is_some_and(|versions| versions.iter().any(|one| one == version))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_plugin_is_asked_again_when_its_binary_changes_and_one_that_hangs_or_fails_speaks_nothing() {
        let root = std::env::temp_dir().join(format!("podlan-node-spoken-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let path = root.join("plugin");
        let becomes = |script: &str| {
            let beside = root.join("new");
            fs::write(&beside, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&beside, &path).unwrap();
        };
        assert!(!speaks(&path, "1.1.0"), "there is none");
        for (script, expected) in [
            (r#"echo '{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}'"#, true),
            (r#"echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'"#, false),
            ("exec sleep 600", false),
            ("exit 1", false),
            ("echo {", false),
        ] {
            becomes(script);
            assert_eq!(speaks(&path, "1.1.0"), expected, "{script}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}

//! Replaces a file atomically: a new file is written beside it, then renamed over it. A reader, or the kernel running
//! it, sees the old file or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Whether the file must outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It is in memory (`/run`) or is created again at each start.
    No,
    /// It is synced before it is renamed, and so is its directory after.
    Yes,
}

/// Puts `bytes` at `path` with the permission bits `mode`.
pub fn replace(path: &Path, bytes: &[u8], mode: u32, lasting: Lasting) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".new");
    let beside = directory.join(beside);
    // A killed process may have left it; it is never followed, never appended to.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write(&beside, bytes, mode, lasting).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&beside);
    }
    written?;
    if lasting == Lasting::Yes { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn write(path: &Path, bytes: &[u8], mode: u32, lasting: Lasting) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask was applied to `mode`.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    file.write_all(bytes)?;
    if lasting == Lasting::Yes { file.sync_all() } else { Ok(()) }
}

/// Makes `path` a directory that its owner alone can enter; one that exists keeps its permissions.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_leftover_is_no_obstacle() {
        let dir = std::env::temp_dir().join(format!("podlan-node-replace-{}", std::process::id()));
        private_directory(&dir).unwrap();
        let path = dir.join("node.json");
        fs::write(dir.join(".node.json.new"), "left by a killed run").unwrap();
        replace(&path, b"old", 0o600, Lasting::No).unwrap();
        let reader = fs::read_to_string(&path).unwrap();
        replace(&path, b"new", 0o755, Lasting::Yes).unwrap();
        assert_eq!((reader.as_str(), fs::read_to_string(&path).unwrap().as_str()), ("old", "new"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}

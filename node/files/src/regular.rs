//! Reads regular files only ([`ipam::regular`]), and detects whether one has changed.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A regular file that is open for reading.
#[derive(Debug)]
pub struct File(fs::File);

/// Identifies a file's content without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// The time of the last change of any kind, which cannot be set.
    changed: (i64, i64),
}

impl FileStamp {
    /// The stamp that this metadata gives.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file had its last change some seconds before `now`: a change in the same tick of the file system's
    /// clock has the same stamp.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        const TICK: i64 = 2;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(now).is_ok_and(|now| self.changed.0.max(self.modified.0) < now - TICK)
    }
}

impl File {
    /// The stamp of its present content.
    pub fn stamp(&self) -> io::Result<FileStamp> {
        self.0.metadata().map(|metadata| FileStamp::of(&metadata))
    }

    /// The same open file.
    pub fn inner(&self) -> io::Result<fs::File> {
        self.0.try_clone()
    }
}

/// Opens a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    ipam::regular::open(path).map(File)
}

/// The content of a regular file, if it has no more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.0.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// The same as text.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text (UTF-16?); save it as UTF-8");
    String::from_utf8(read(path, most)?).map_err(not_text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn what_is_no_file_is_named_and_nothing_blocks() {
        let dir = std::env::temp_dir().join(format!("podlan-node-regular-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let pipe = dir.join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let _listener = UnixListener::bind(dir.join("socket")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.join("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", dir.join("loop")).unwrap();
        let error = |path: &Path| open(path).unwrap_err().to_string();
        assert_eq!(error(&pipe), "it is a named pipe, not a file");
        assert_eq!(error(&dir), "it is a directory, not a file");
        assert_eq!(error(&dir.join("socket")), "it is a socket, not a file");
        assert_eq!(error(Path::new("/dev/null")), "it is a device, not a file");
        assert!(error(&dir.join("dangling")).contains("No such file"));
        assert!(error(&dir.join("loop")).to_lowercase().contains("symbolic link"));
        fs::write(dir.join("file"), "12345").unwrap();
        assert_eq!(read_text(&dir.join("file"), 5).unwrap(), "12345");
        assert!(read_text(&dir.join("file"), 4).unwrap_err().to_string().contains("more than 4 bytes"));
        fs::write(dir.join("file"), b"\xff\xfea\0").unwrap();
        assert!(read_text(&dir.join("file"), 5).unwrap_err().to_string().contains("UTF-8"));
        fs::remove_dir_all(&dir).unwrap();
    }
}

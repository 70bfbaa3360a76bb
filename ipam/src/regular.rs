//! Opens regular files alone. A named pipe, a socket, a device or a directory where a file belongs is an error that says so;
//! none of them can block the reader.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading, through symbolic links.
///
/// # Errors
/// Those of open(2), and `InvalidInput` for anything that is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Checked before it is opened: opening a device can have an effect.
    regular(&fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let found = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {found}, not a file")))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_named_pipe_is_refused_and_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(open(&pipe).unwrap_err().to_string(), "it is a named pipe, not a file");
        assert_eq!(open(home.path()).unwrap_err().to_string(), "it is a directory, not a file");
        let file = home.path().join("file");
        fs::write(&file, "text").unwrap();
        assert!(open(&file).is_ok());
    }
}

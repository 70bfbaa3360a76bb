//! Reads the runtime's configuration directory, which belongs to others too: what cannot be read there is that file's fault
//! alone, and nothing in it can block or fill the reader.

use std::fs;
use std::io;
use std::path::Path;

use super::is_configuration;
use files::regular;

/// The most bytes of a configuration.
const LONGEST: u64 = 1 << 20;

/// The configurations of a directory, in the runtime's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Names and texts.
    pub texts: Vec<(String, String)>,
    /// Names of those that cannot be read, and why.
    pub faults: Vec<(String, String)>,
}

/// Reads the configurations in `directory`.
pub fn read(directory: &Path) -> io::Result<Directory> {
    let mut read = Directory::default();
    for name in names(directory)? {
        match regular::read_text(&directory.join(&name), LONGEST) {
            Ok(text) => read.texts.push((name, text)),
            // It went meanwhile, or it is a link to nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.join(&name).is_symlink() => {}
            Err(error) => read.faults.push((name, error.to_string())),
        }
    }
    Ok(read)
}

/// The names of the configurations in `directory`.
pub fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_configuration(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_its_own_fault() {
        let dir = std::env::temp_dir().join(format!("podlan-node-conf-{}", std::process::id()));
        fs::create_dir_all(dir.join("20-directory.conf")).unwrap();
        nix::unistd::mkfifo(&dir.join("10-pipe.conflist"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("nowhere", dir.join("30-dangling.conf")).unwrap();
        fs::write(dir.join("40-utf16.conf"), b"\xff\xfe{\0}\0").unwrap();
        fs::write(dir.join("50-long.conf"), "x".repeat((1 << 20) + 1)).unwrap();
        fs::write(dir.join("60-good.conflist"), "{}").unwrap();
        let read = read(&dir).unwrap();
        assert_eq!(read.texts, [("60-good.conflist".to_owned(), "{}".to_owned())]);
        let faults: Vec<_> = read.faults.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let expected = ["named pipe", "directory", "No such file", "UTF-8", "more than 1048576 bytes"];
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, word) in faults.iter().zip(expected) {
            assert!(fault.contains(word), "{fault}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

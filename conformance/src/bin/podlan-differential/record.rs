//! The recorder: installed in the place of a plugin, it writes down the request and then executes the plugin.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::request::Request;

/// The plugins that it can replace.
pub(crate) const PLUGINS: [&str; 2] = ["podlan", "podlan-ipam"];

/// The file that the requests are written to.
const TO: &str = "PODLAN_RECORD_TO";
/// The directory of the real plugins.
const REAL: &str = "PODLAN_RECORD_REAL";

/// Records the request and executes the plugin, if this program is named after one.
pub(crate) fn as_plugin() -> Option<ExitCode> {
    let own = PathBuf::from(std::env::args_os().next()?);
    let program = own.file_name()?.to_str()?;
    PLUGINS.contains(&program).then(|| match record(program) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("podlan-differential: {error}");
            ExitCode::FAILURE
        }
    })
}

fn record(program: &str) -> io::Result<std::convert::Infallible> {
    let variable = |name: &str| std::env::var_os(name).ok_or_else(|| io::Error::other(format!("{name} is not set")));
    let mut stdin = Vec::new();
    io::stdin().read_to_end(&mut stdin)?;
    let node = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    // The init of a lab is the first process of its pid namespace.
    let lab = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let request = Request {
        program: program.to_owned(),
        group: format!("{} {node}", lab.display()),
        node,
        environment: std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"CNI_")).collect(),
        stdin,
        traced: true,
    };
    // One write for each line: requests overlap, and O_APPEND keeps their lines whole.
    let line = request.line() + "\n";
    OpenOptions::new().create(true).append(true).open(variable(TO)?)?.write_all(line.as_bytes())?;
    let real = Path::new(&variable(REAL)?).join(program);
    Err(Command::new(real).args(std::env::args_os().skip(1)).stdin(input(&request.stdin)?).exec())
}

/// An unnamed file with these bytes, open at its beginning.
pub(crate) fn input(bytes: &[u8]) -> io::Result<File> {
    use std::os::fd::OwnedFd;
    let memory: OwnedFd = nix::sys::memfd::memfd_create(c"stdin", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

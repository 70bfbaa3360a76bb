//! Where the programs are: those under test, and the lab's own.
//!
//! The programs under test are those of the folder that PODLAN_BIN_DIR names, such as a release build. Without it a test
//! program builds them by cargo, in its own profile, before its first lab: the lab itself has neither network nor cargo.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{Error, set_aside};

/// Names the folder of the programs under test.
pub const FOLDER: &str = "PODLAN_BIN_DIR";

/// The programs under test that cargo builds.
const PROGRAMS: [&str; 4] = ["podlan", "podlan-ipam", "podlan-node", "kubectl-podlan"];

/// A program under test.
///
/// # Errors
/// [`Error::NotBuilt`] when it is not there and cannot be built.
pub fn find(program: &str) -> Result<PathBuf, Error> {
    existing(folder()?, program)
}

/// The folder of the programs under test. Builds them where this is a test program and no folder is named.
///
/// # Errors
/// [`Error::NotBuilt`] when the build fails.
pub fn folder() -> Result<PathBuf, Error> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Ok(folder.into());
    }
    let own = own_folder()?;
    let is_test_program = myself()?.parent().and_then(Path::file_name) == Some(OsStr::new("deps"));
    match is_test_program && !build_once(&own) {
        true => Err(Error::NotBuilt { program: PROGRAMS.join(", "), looked: own }),
        false => Ok(own),
    }
}

/// Whether the programs under test are a release build. Limits of size, memory and speed hold for a release build only:
/// without one, a test that calls this is set aside.
///
/// # Panics
/// When they cannot be built.
#[must_use]
pub fn are_release() -> bool {
    let folder = folder().unwrap_or_else(|error| panic!("{error}"));
    let are = folder.ends_with("release");
    if !are {
        set_aside("figures are those of a release build: PODLAN_BIN_DIR=$(scripts/build)");
    }
    are
}

/// The lab's own program, of the same build as the caller.
///
/// # Errors
/// [`Error::NotBuilt`] when it is not there.
pub fn lab() -> Result<PathBuf, Error> {
    let myself = myself()?;
    let folder = myself.ancestors().skip(1).find(|folder| folder.join("podlan-lab").is_file());
    existing(folder.unwrap_or(&myself).to_owned(), "podlan-lab")
}

fn existing(folder: PathBuf, program: &str) -> Result<PathBuf, Error> {
    let path = folder.join(program);
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::NotBuilt { program: program.to_owned(), looked: folder }),
    }
}

/// Whether the programs in `folder` are as new as their sources, after the first call of this process had cargo build
/// them. Cargo locks its target directory, so test programs may call this at the same time. Without cargo the binaries
/// of an earlier build are used.
fn build_once(folder: &Path) -> bool {
    static BUILT: OnceLock<bool> = OnceLock::new();
    *BUILT.get_or_init(|| match build(folder).status() {
        Ok(status) => status.success(),
        Err(_) => PROGRAMS.iter().all(|program| folder.join(program).is_file()),
    })
}

/// The build of the programs into `folder`, which is `TARGET-DIR/TRIPLE/PROFILE` or `TARGET-DIR/PROFILE`.
fn build(folder: &Path) -> Command {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let profile = match name(folder) {
        debug if debug == "debug" => "dev".to_owned(),
        other => other,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).stdin(Stdio::null()).stdout(Stdio::null());
    cargo.args(["build", "--quiet", "--profile", &profile]);
    cargo.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    let above = folder.parent().unwrap_or(folder);
    match name(above) {
        triple if triple.contains("-linux-") => {
            cargo.args(["--target", &triple, "--target-dir"]).arg(above.parent().unwrap_or(above))
        }
        _ => cargo.arg("--target-dir").arg(above),
    };
    cargo
}

/// The folder that this program was built into: `target/TRIPLE/PROFILE`.
fn own_folder() -> Result<PathBuf, Error> {
    let myself = myself()?;
    let built_into = |folder: &&Path| folder.join(".cargo-lock").exists() || folder.join("deps").is_dir();
    let own = myself.ancestors().skip(1).find(built_into).or_else(|| myself.parent());
    Ok(own.unwrap_or(&myself).to_owned())
}

fn myself() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(Error::system("find my own program"))
}

//! Where the programs are: those under test as they ship, and the lab's own.

use std::path::{Path, PathBuf};

use super::Error;

/// Names the folder of the programs under test, in place of the release folder of the target directory.
pub const FOLDER: &str = "PODLAN_BIN_DIR";

/// A program under test: the release build, which is what users run.
///
/// # Errors
/// [`Error::NotBuilt`] when it is not there.
pub fn find(program: &str) -> Result<PathBuf, Error> {
    let folder = match std::env::var_os(FOLDER) {
        Some(folder) => PathBuf::from(folder),
        None => beside("release")?,
    };
    built(folder, program)
}

/// The lab's own program, of the same build as the caller.
///
/// # Errors
/// [`Error::NotBuilt`] when it is not there.
pub fn lab() -> Result<PathBuf, Error> {
    let myself = myself()?;
    let folder = myself.ancestors().skip(1).find(|folder| folder.join("podlan-lab").is_file());
    built(folder.unwrap_or(&myself).to_owned(), "podlan-lab")
}

fn built(folder: PathBuf, program: &str) -> Result<PathBuf, Error> {
    let path = folder.join(program);
    match path.is_file() {
        true => Ok(path),
        false => Err(Error::NotBuilt { program: program.to_owned(), looked: folder }),
    }
}

/// The folder of a profile in the target directory that this program was built into: `target/TRIPLE/PROFILE`.
fn beside(profile: &str) -> Result<PathBuf, Error> {
    let myself = myself()?;
    let built_into = |folder: &&Path| folder.join(".cargo-lock").exists() || folder.join("deps").is_dir();
    let own = myself.ancestors().skip(1).find(built_into).or_else(|| myself.parent());
    let folder = own.and_then(Path::parent).map(|triple| triple.join(profile));
    Ok(folder.filter(|folder| folder.is_dir()).unwrap_or_else(|| myself.parent().unwrap_or(&myself).to_owned()))
}

fn myself() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(Error::system("find my own program"))
}

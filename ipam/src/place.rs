//! Where a network's leases are kept, and what to call that place.
//! Owns the directory names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::{Attachment, NetworkName};
use sha2::{Digest, Sha256};
use store::{Claim, Directory, StoreDir};

use crate::error::Error;

/// Default of `ipam.dataDir`. Under /run, because leases are worth as long as the kernel that holds the namespaces.
pub const DEFAULT_DATA_DIR: &str = "/run/podlan";
/// Default time to wait for the lock, see `ipam.lockTimeout`.
pub const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer network names are cut and hashed: a file name holds 255 bytes.
const NAME_MOST: usize = 200;
/// Longer ones do not fit the superblock.
const NETWORK_MOST: usize = 400;

/// The leases of one network on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Directory of all networks.
    pub data_dir: PathBuf,
    /// The network.
    pub network: NetworkName,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
}

impl Place {
    /// The place of a network below a directory.
    pub fn new(data_dir: impl Into<PathBuf>, network: NetworkName) -> Self {
        Self { data_dir: data_dir.into(), network, lock_timeout: DEFAULT_LOCK_TIMEOUT }
    }

    /// Directory of the network's lock and store.
    pub fn directory(&self) -> PathBuf {
        self.data_dir.join(directory_name(self.network.as_str()))
    }

    /// The store file.
    pub fn store(&self) -> PathBuf {
        self.directory().join("store")
    }

    /// Claims an attachment for an ADD, until the claim is dropped.
    ///
    /// # Errors
    /// [`store::Error::Claimed`] at once when another process has it.
    pub fn claim(&self, owner: &Attachment) -> Result<Claim, Error> {
        Ok(Claim::take(&self.dir()?, owner)?)
    }

    /// Waits until no ADD of an attachment is under way, up to the deadline of the network's lock, and keeps others from
    /// beginning. `None` where no ADD has ever claimed anything.
    ///
    /// # Errors
    /// [`store::Error::Claimed`] past the deadline.
    pub fn wait_for_add(&self, owner: &Attachment) -> Result<Option<Claim>, Error> {
        Ok(Claim::wait(&self.dir()?, owner)?)
    }

    /// The network's directory, as the store uses it.
    ///
    /// # Errors
    /// When the network's name does not fit the store.
    pub fn dir(&self) -> Result<Directory, Error> {
        let length = self.network.as_str().len();
        if length > NETWORK_MOST {
            return Err(store::Error::DoesNotFit { what: "the network's name", excess: length - NETWORK_MOST }.into());
        }
        Ok(Directory::new(self.directory(), self.lock_timeout))
    }
}

/// All networks that have a store below a directory, by name. A directory that is not there has none.
pub fn places(data_dir: &Path) -> Result<Vec<Place>, Error> {
    let directories = network_directories(data_dir)?;
    let mut found = directories.iter().filter_map(|path| place_in(path).transpose()).collect::<Result<Vec<_>, _>>()?;
    found.sort_by(|one, other| one.network.cmp(&other.network));
    Ok(found)
}

/// The directories below a directory, each of which may be a network's. None of them is touched: one that cannot be read,
/// or that hangs, hides no other.
pub fn network_directories(data_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(store::Error::io("list", data_dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(store::Error::io("list", data_dir))?;
        // The node agent's own files may lie here too.
        if entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()) {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The network whose store lies in a directory; `None` where there is no store. What cannot be opened counts as one: what
/// is wrong with it is said when it is read.
pub fn place_in(path: &Path) -> Result<Option<Place>, Error> {
    let (Some(data_dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    let directory = Directory::new(path.to_owned(), DEFAULT_LOCK_TIMEOUT);
    // The name is the directory's, but for long ones, which the store knows.
    let network = if name.contains('~') {
        let Some(network) = store::network_of(&directory)? else { return Ok(None) };
        network
    } else {
        match directory.open() {
            Ok(None) => return Ok(None),
            Ok(Some(_)) | Err(_) => name.to_owned(),
        }
    };
    Ok(NetworkName::parse(&network).ok().map(|network| Place::new(data_dir, network)))
}

/// `~` is in no network's name, so that no two networks share a directory.
fn directory_name(network: &str) -> String {
    if network.len() <= NAME_MOST {
        return network.to_owned();
    }
    let digest = Sha256::digest(network.as_bytes());
    let mut name = network[..network.floor_char_boundary(NAME_MOST)].to_owned();
    name.push('~');
    for byte in digest.iter().take(8) {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-03.
    #[test]
    fn long_names_of_networks_keep_apart_and_fit_a_file_name() {
        let long = |last: &str| directory_name(&("n".repeat(300) + last));
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() < 255);
        assert_eq!(directory_name("podnet"), "podnet");
    }
}

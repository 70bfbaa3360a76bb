//! Where a network's leases are kept, and what to call that place.
//! Owns the directory names. Refuses to open anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::NetworkName;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::store::disk::{Directory, Shelf};
use crate::store::head_network;

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

    pub(crate) fn shelf(&self) -> Result<Directory, Error> {
        let length = self.network.as_str().len();
        if length > NETWORK_MOST {
            return Err(Error::DoesNotFit { what: "the network's name", excess: length - NETWORK_MOST });
        }
        Ok(Directory::new(self.directory(), self.lock_timeout))
    }
}

/// All networks that have a store below a directory, by name. A directory that is not there has none.
pub fn places(data_dir: &Path) -> Result<Vec<Place>, Error> {
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("list", data_dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("list", data_dir))?.path();
        // The node agent's own files may lie here too.
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let directory = Directory::new(path.clone(), DEFAULT_LOCK_TIMEOUT);
        let Some(disk) = directory.open().map_err(Error::io("open", directory.path()))? else { continue };
        // The name is the directory's, but for long ones, which the store knows.
        let network = if name.contains('~') { head_network(&disk, directory.path())? } else { name.to_owned() };
        if let Ok(network) = NetworkName::parse(&network) {
            found.push(Place::new(data_dir, network));
        }
    }
    found.sort_by(|one, other| one.network.cmp(&other.network));
    Ok(found)
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

//! Installs the plugins' binaries and the conflist in the runtime's directories, each atomically, and keeps them there.
//! Only where an option asks for it. A file that is correct is not written.

pub mod conflist;
pub mod housekeeping;
pub mod pools;
mod spoken;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use crate::conflist::directory::{self, Configuration};
use crate::conflist::{Chained, Conflist, FILE, Found};
use crate::pools::Pool;
use files::regular;
use files::replace::{Lasting, replace};

/// The maximum size of a plugin, in bytes.
const LONGEST: u64 = 64 << 20;

/// The version of CNI that podlan speaks, and that reference plugins before 1.6 refuse.
const NEWEST: &str = "1.1.0";

/// What is installed.
pub const BINARIES: [&str; 2] = ["podlan", "podlan-ipam"];

/// The sources and destinations of an installation.
#[derive(Clone, Debug)]
pub struct Install {
    /// Where the binaries come from: the directory of this one.
    pub from: PathBuf,
    /// The runtime's directory of plugins; none: no binary is installed.
    pub bin_dir: Option<PathBuf>,
    /// The runtime's directory of network configurations; none: no conflist is written.
    pub conf_dir: Option<PathBuf>,
    /// The conflist's contents besides this node's CIDRs.
    pub conflist: Conflist,
}

/// A file that could not be installed or read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error("read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("install {path}: {source}")]
    Install { path: String, source: io::Error },
    #[error("list {path}: {source}")]
    List { path: String, source: io::Error },
}

impl Install {
    /// Installs the binaries; returns those that changed.
    pub(crate) fn binaries(&self) -> Result<Vec<PathBuf>, Error> {
        let mut changed = Vec::new();
        let Some(bin_dir) = &self.bin_dir else { return Ok(changed) };
        for name in BINARIES {
            let (from, to) = (self.from.join(name), bin_dir.join(name));
            let failed = |source| Error::Read { path: from.display().to_string(), source };
            if !same(&from, &to).map_err(failed)? {
                changed.extend(put(&to, &regular::read(&from, LONGEST).map_err(failed)?, 0o755)?);
            }
        }
        Ok(changed)
    }

    /// Writes the conflist for these CIDRs and this source of the node's traffic to its pods; returns its path when it
    /// changed.
    pub fn conflist(&self, cidrs: &[IpNetwork], host_source: &[IpAddr]) -> Result<Option<PathBuf>, Error> {
        match &self.conf_dir {
            Some(dir) if !cidrs.is_empty() => put(
                &dir.join(FILE),
                self.conflist.text(cidrs, host_source, &|plugin| self.look(plugin)).as_bytes(),
                0o644,
            ),
            _ => Ok(None),
        }
    }

    fn look(&self, plugin: Chained) -> Found {
        let Some(path) = self.bin_dir.as_ref().map(|dir| dir.join(plugin.binary())) else { return Found::Missing };
        // Some distributions use a symbolic link to another directory, which is not mounted in a container.
        match fs::symlink_metadata(&path).is_ok_and(|entry| !entry.is_dir()) {
            false => Found::Missing,
            true if spoken::speaks(&path, NEWEST) => Found::Speaks110,
            true => Found::Before110,
        }
    }

    /// The configurations that a runtime takes before podlan's; not Multus', where it hands pods to podlan's.
    pub(crate) fn winners(&self) -> Result<Vec<String>, Error> {
        if !self.configurations()?.iter().any(|name| name.as_str() < FILE) {
            return Ok(Vec::new());
        }
        let Some(dir) = &self.conf_dir else { return Ok(Vec::new()) };
        let files = read(dir)?;
        let ours = files.iter().find(|file| file.file == FILE);
        let hands_over = |file: &Configuration| ours.is_some_and(|ours| file.delegates_to(ours) == Some(true));
        let before = files.iter().filter(|file| file.file.as_str() < FILE && !hands_over(file));
        Ok(before.map(|file| file.file.clone()).collect())
    }

    /// The pools that the existing configurations give this node, and the errors of those that cannot be read.
    pub fn pools(&self) -> Result<(Vec<Pool>, Vec<String>), Error> {
        let Some(dir) = &self.conf_dir else { return Ok((Vec::new(), Vec::new())) };
        let files = read(dir)?;
        let fault = |file: &Configuration| {
            let why = file.unread.as_ref()?;
            Some(format!("failed to read {}: {why}", dir.join(&file.file).display()))
        };
        Ok((files.iter().flat_map(Configuration::pools).collect(), files.iter().filter_map(fault).collect()))
    }

    /// The networks with a configured MTU: by the agent's `--mtu`, or by an existing configuration.
    pub fn chosen_mtus(&self) -> Result<BTreeSet<String>, Error> {
        let own = self.conflist.mtu.map(|_| self.conflist.network.clone());
        let there = match read(self.conf_dir.as_deref().unwrap_or(Path::new(conflist::DIR))) {
            // A directory that does not exist configures nothing.
            Err(Error::List { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
            there => there?,
        };
        Ok(there.iter().filter_map(Configuration::chooses_mtu).chain(own).collect())
    }

    fn configurations(&self) -> Result<Vec<String>, Error> {
        self.conf_dir.as_deref().map_or_else(|| Ok(Vec::new()), configurations)
    }
}

fn configurations(dir: &Path) -> Result<Vec<String>, Error> {
    directory::names(dir).map_err(|source| Error::List { path: dir.display().to_string(), source })
}

fn read(dir: &Path) -> Result<Vec<Configuration>, Error> {
    directory::read(dir).map_err(|source| Error::List { path: dir.display().to_string(), source })
}

/// Whether two files have the same contents. Read in pieces: two whole plugins would be most of the agent's memory.
pub fn same(from: &Path, to: &Path) -> io::Result<bool> {
    let mut from = BufReader::new(regular::open(from)?.inner()?);
    // The destination may be anything, even a pipe.
    let Ok(to) = regular::open(to).and_then(|file| file.inner()) else { return Ok(false) };
    let mut to = BufReader::new(to);
    loop {
        let (ours, theirs) = (from.fill_buf()?, to.fill_buf()?);
        if ours.is_empty() || theirs.is_empty() {
            return Ok(ours.is_empty() && theirs.is_empty());
        }
        let both = ours.len().min(theirs.len());
        if ours[..both] != theirs[..both] {
            return Ok(false);
        }
        from.consume(both);
        to.consume(both);
    }
}

/// Writes `bytes` to `path`, unless it has them already.
fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<Option<PathBuf>, Error> {
    if regular::read(path, bytes.len() as u64).is_ok_and(|there| there == bytes) {
        return Ok(None);
    }
    let failed = |source| Error::Install { path: path.display().to_string(), source };
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
    replace(path, bytes, mode, Lasting::Yes).map_err(failed)?;
    Ok(Some(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::conflist::tests::conflist;

    fn install(root: &Path) -> Install {
        let dir = |name: &str| root.join(name);
        Install { from: dir("from"), bin_dir: Some(dir("bin")), conf_dir: Some(dir("net.d")), conflist: conflist() }
    }

    #[test]
    fn binaries_are_installed_healed_and_renewed_and_one_that_runs_is_not_cut() {
        let root = std::env::temp_dir().join(format!("podlan-node-install-{}", std::process::id()));
        let install = install(&root);
        fs::create_dir_all(&install.from).unwrap();
        for name in BINARIES {
            fs::write(install.from.join(name), "one").unwrap();
        }
        assert_eq!(install.binaries().unwrap().len(), 2);
        assert_eq!(install.binaries().unwrap(), Vec::<PathBuf>::new(), "what is right is not touched");
        let installed = root.join("bin/podlan");
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);
        let mut runs = File::open(&installed).unwrap();
        fs::write(install.from.join("podlan"), "two").unwrap();
        assert_eq!(install.binaries().unwrap(), std::slice::from_ref(&installed), "of the same size, and renewed");
        let mut running = String::new();
        io::Read::read_to_string(&mut runs, &mut running).unwrap();
        assert_eq!(running, "one", "who had it open has the whole old one");
        fs::remove_file(&installed).unwrap();
        assert_eq!(install.binaries().unwrap(), [installed]);

        let cidr = ["10.244.1.0/24".parse().unwrap()];
        fs::create_dir_all(root.join("net.d")).unwrap();
        fs::write(root.join("net.d/05-other.conflist"), "{}").unwrap();
        assert_eq!(install.conflist(&[], &[]).unwrap(), None, "no CIDR, no conflist");
        assert!(install.conflist(&cidr, &[]).unwrap().is_some());
        assert_eq!(install.conflist(&cidr, &[]).unwrap(), None);
        let chains_portmap = || fs::read_to_string(root.join("net.d").join(FILE)).unwrap().contains("portmap");
        assert!(!chains_portmap());
        std::os::unix::fs::symlink("/seen/by/the/runtime/alone", root.join("bin/portmap")).unwrap();
        assert!(install.conflist(&cidr, &[]).unwrap().is_some() && chains_portmap(), "its binary came");
        fs::remove_file(root.join("bin/portmap")).unwrap();
        assert!(install.conflist(&cidr, &[]).unwrap().is_some() && !chains_portmap(), "and went");
        assert_eq!(install.winners().unwrap(), ["05-other.conflist"]);
        assert_eq!(install.pools().unwrap().0[0].subnet, cidr[0]);
        fs::remove_dir_all(&root).unwrap();
    }
}

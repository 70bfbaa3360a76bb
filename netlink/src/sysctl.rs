//! The few kernel settings that no netlink message can change, in the calling thread's network namespace.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// More than any of these settings has, bytes.
const LONGEST: usize = 64;

/// A setting that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SysctlError {
    #[error("read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("write {value} to {path}: {source}")]
    Write { path: PathBuf, value: &'static str, source: io::Error },
}

/// One setting below /proc/sys/net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    path: PathBuf,
}

impl Sysctl {
    /// IPv4 forwarding of the namespace.
    pub fn forwarding_v4() -> Self {
        Self { path: "/proc/sys/net/ipv4/ip_forward".into() }
    }

    /// IPv6 forwarding of the namespace.
    pub fn forwarding_v6() -> Self {
        Self { path: "/proc/sys/net/ipv6/conf/all/forwarding".into() }
    }

    /// An IPv4 setting of one link, or of `all` or `default`.
    pub fn link_v4(link: &str, key: &str) -> Self {
        Self { path: ["/proc/sys/net/ipv4/conf", link, key].iter().collect() }
    }

    /// An IPv6 setting of one link, or of `all` or `default`.
    pub fn link_v6(link: &str, key: &str) -> Self {
        Self { path: ["/proc/sys/net/ipv6/conf", link, key].iter().collect() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value; `None` where the kernel has no such setting (no IPv6, say).
    pub fn read(&self) -> Result<Option<String>, SysctlError> {
        // The kernel tells it in one piece: no question for a length, no read for an end.
        let mut value = [0; LONGEST];
        match fs::File::open(&self.path).and_then(|mut file| file.read(&mut value)) {
            Ok(length) => Ok(Some(String::from_utf8_lossy(&value[..length]).trim_end().to_owned())),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SysctlError::Read { path: self.path.clone(), source }),
        }
    }

    /// Writes a value.
    pub fn write(&self, value: &'static str) -> Result<(), SysctlError> {
        let file = fs::OpenOptions::new().write(true).open(&self.path);
        file.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|source| SysctlError::Write {
            path: self.path.clone(),
            value,
            source,
        })
    }

    /// Writes the value of a new link, which is another by default. Whether there is such a setting: not where the link
    /// has no IPv6. As with [`Self::ensure`], a read-only /proc/sys that is set right is no error.
    pub fn set(&self, value: &'static str) -> Result<bool, SysctlError> {
        match self.write(value) {
            Ok(()) => Ok(true),
            Err(refused) => match self.read()? {
                None => Ok(false),
                Some(there) if there == value => Ok(true),
                Some(_) => Err(refused),
            },
        }
    }

    /// Writes a value unless it is there: a read-only /proc/sys that is set right is no error.
    pub fn ensure(&self, value: &'static str) -> Result<(), SysctlError> {
        if self.read()?.as_deref() == Some(value) { Ok(()) } else { self.write(value) }
    }
}

/// Whether the kernel has IPv6 at all (`ipv6.disable=1` leaves no settings).
pub fn kernel_has_v6() -> bool {
    fs::exists("/proc/sys/net/ipv6").unwrap_or(false)
}

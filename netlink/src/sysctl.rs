//! The few kernel settings that no netlink message can change, in the calling thread's network namespace.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{Mode, OFlags, openat};

use crate::{Family, Procfs};

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
    /// Forwarding of the namespace.
    pub fn forwarding(family: Family) -> Self {
        let path = match family {
            Family::V4 => "/proc/sys/net/ipv4/ip_forward",
            Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        Self { path: path.into() }
    }

    /// A setting of one link, or of `all` or `default`.
    pub fn of_link(family: Family, link: &str, key: &str) -> Self {
        let links = match family {
            Family::V4 => "/proc/sys/net/ipv4/conf",
            Family::V6 => "/proc/sys/net/ipv6/conf",
        };
        Self { path: [links, link, key].iter().collect() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value; `None` where the kernel has no such setting (no IPv6, say).
    pub fn read(&self, procfs: &Procfs) -> Result<Option<String>, SysctlError> {
        match procfs.open(&self.path, OFlags::RDONLY).and_then(value) {
            Ok(value) => Ok(Some(value)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SysctlError::Read { path: self.path.clone(), source }),
        }
    }

    /// Writes a value.
    pub fn write(&self, procfs: &Procfs, value: &'static str) -> Result<(), SysctlError> {
        let file = procfs.open(&self.path, OFlags::WRONLY);
        file.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|source| SysctlError::Write {
            path: self.path.clone(),
            value,
            source,
        })
    }
}

/// The IPv6 settings of one link, by its open folder: the way there is walked once.
#[derive(Debug)]
pub struct LinkSettings {
    folder: fs::File,
    path: PathBuf,
}

impl LinkSettings {
    /// Those of a link in the calling thread's network namespace; `None` where it has no IPv6.
    pub fn v6(procfs: &Procfs, link: &str) -> Result<Option<Self>, SysctlError> {
        let path: PathBuf = ["/proc/sys/net/ipv6/conf", link].iter().collect();
        match procfs.open(&path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(folder) => Ok(Some(Self { folder, path })),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SysctlError::Read { path, source }),
        }
    }

    /// Writes a value that is another by default. A read-only /proc/sys that is set right is no error.
    pub fn set(&self, key: &str, value: &'static str) -> Result<(), SysctlError> {
        self.write(key, value).or_else(|refused| if self.read(key)? == value { Ok(()) } else { Err(refused) })
    }

    /// Writes a value where the number that is there is less than `least`.
    pub fn raise(&self, key: &str, least: u32, value: &'static str) -> Result<(), SysctlError> {
        let enough = self.read(key)?.parse().is_ok_and(|number: u32| number >= least);
        if enough { Ok(()) } else { self.write(key, value) }
    }

    /// Writes a value.
    pub fn write(&self, key: &str, value: &'static str) -> Result<(), SysctlError> {
        let written = self.open(key, OFlags::WRONLY).and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|source| SysctlError::Write { path: self.path.join(key), value, source })
    }

    fn read(&self, key: &str) -> Result<String, SysctlError> {
        let read = self.open(key, OFlags::RDONLY).and_then(value);
        read.map_err(|source| SysctlError::Read { path: self.path.join(key), source })
    }

    fn open(&self, key: &str, how: OFlags) -> io::Result<fs::File> {
        Ok(openat(&self.folder, key, how | OFlags::CLOEXEC, Mode::empty())?.into())
    }
}

/// Reads a setting's file. One read(2) returns the whole value.
fn value(mut file: fs::File) -> io::Result<String> {
    let mut value = [0; LONGEST];
    let length = file.read(&mut value)?;
    Ok(String::from_utf8_lossy(&value[..length]).trim_end().to_owned())
}

/// Whether the kernel has IPv6 at all (`ipv6.disable=1` leaves no settings).
pub fn kernel_has_v6() -> bool {
    fs::exists("/proc/sys/net/ipv6").unwrap_or(false)
}

//! The directory of records: one file for each attachment, named after its key, and a lock. A file is replaced as a whole, so
//! that readers need no lock.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use store::{Directory, Lock, StoreDir};

use crate::Ports;
use crate::error::Error;
use crate::record::Record;

/// More than a record has, bytes.
const LONGEST: u64 = 4 << 20;

/// What is written before it is a record. One for all: its writer holds the lock, and the next one overwrites what a killed one
/// has left.
const DRAFT: &str = "record.new";

/// The name of the lock.
const LOCK: &str = "lock";

/// What the directory holds.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    /// What cannot be read, each with its reason.
    pub(crate) unread: Vec<Error>,
}

impl Ports {
    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(key)
    }

    /// Keeps all others from changing a record or an element, until it is dropped.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        Ok(Directory::new(self.directory.clone(), self.patience).lock()?)
    }

    /// Makes the directory.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        Ok(Directory::new(self.directory.clone(), self.patience).prepare()?)
    }

    /// Whether there is a record under this key, readable or not: one system call.
    pub(crate) fn has(&self, key: &str) -> Result<bool, Error> {
        let path = self.path(key);
        match rustix::fs::access(&path, Access::EXISTS) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(Error::file("look for", &path)(errno.into())),
        }
    }

    /// Writes a record under its key. The caller holds the lock.
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.path(&record.link());
        let draft = self.path(DRAFT);
        let written = || -> io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::open(&draft, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(record.to_json().as_bytes())?;
            file.sync_data()?;
            fs::rename(&draft, &path)
        };
        written().map_err(Error::file("write", &path))
    }

    /// Removes the record under this key; none is no error.
    pub(crate) fn remove(&self, key: &str) -> Result<(), Error> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// All records, as far as they can be read. A directory that is not there has none.
    pub(crate) fn read_all(&self) -> Result<Records, Error> {
        let mut all = Records::default();
        let listed = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            listed => listed.map_err(Error::file("list", &self.directory))?,
        };
        for entry in listed {
            let entry = entry.map_err(Error::file("list", &self.directory))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name == LOCK || name == DRAFT {
                continue;
            }
            match self.read(&name) {
                Ok(record) => all.records.extend(record),
                Err(error) => all.unread.push(error),
            }
        }
        Ok(all)
    }

    /// The record under this key; `None` where there is none.
    pub(crate) fn read(&self, key: &str) -> Result<Option<Record>, Error> {
        let path = self.path(key);
        let mut text = Vec::new();
        match ipam::regular::open(&path).and_then(|file| file.take(LONGEST).read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(Error::file("read", &path))?,
        };
        let record = Record::from_json(&text).map_err(|why| Error::Record { path: path.clone(), why })?;
        if record.link() != key {
            return Err(Error::Record { path, why: "its name is that of another attachment".to_owned() });
        }
        Ok(Some(record))
    }

    /// All records that can be read, for programs that look.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        Ok(self.read_all()?.records)
    }
}

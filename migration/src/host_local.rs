//! What host-local keeps of a network: one file for each address, `last_reserved_ip.N`, `lock`.
//! Reads the forms that host-local wrote over the years; whether an address can be taken over is decided by the plan.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cni::{Attachment, ContainerId, Ifname};
use nix::fcntl::OFlag;

use ipam::Error;
use store::Lock;

use crate::import::{Refusal, Refused};

/// host-local's lock, taken with flock(2) around every change.
const LOCK: &str = "lock";
/// The address that was given last, of one range set.
const LAST: &str = "last_reserved_ip";
/// The interface of files that name none.
const IFNAME: &str = "eth0";
/// Our own files, where both have the same directory.
const OURS: [&str; 2] = ["store", "store.new"];
/// No file of host-local's is longer; what is, is not one.
const FILE_MOST: u64 = 4096;

/// All that was found.
#[derive(Debug, Default)]
pub struct Found {
    pub(crate) leases: Vec<Reservation>,
    /// Addresses that were given last, by file.
    pub(crate) last: Vec<(PathBuf, IpAddr)>,
    pub(crate) refused: Vec<Refused>,
}

/// One address and its owner.
#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    pub(crate) file: PathBuf,
    pub(crate) address: IpAddr,
    pub(crate) owner: Attachment,
}

impl Found {
    /// Take in a file by its name and content.
    pub fn add(&mut self, file: PathBuf, content: impl FnOnce(&Path) -> Result<Vec<u8>, Refusal>) {
        let name = file.file_name().and_then(|name| name.to_str()).map(Name::parse);
        let taken = match name {
            Some(Name::Known) => Ok(()),
            Some(Name::Last) => content(&file).and_then(|bytes| {
                self.last.push((file.clone(), last(&bytes)?));
                Ok(())
            }),
            Some(Name::Address(address)) => content(&file).and_then(|bytes| {
                self.leases.push(Reservation { file: file.clone(), address, owner: owner(&bytes)? });
                Ok(())
            }),
            Some(Name::Other) | None => Err(Refusal::Name),
        };
        self.refused.extend(taken.err().map(|why| Refused { file, why }));
    }

    /// In the order of addresses, whatever order the directory had.
    pub(crate) fn sort(&mut self) {
        self.leases.sort_by(|one, other| (one.address, &one.file).cmp(&(other.address, &other.file)));
        self.last.sort();
    }
}

/// What a file is for.
enum Name {
    /// It holds no address, and should not.
    Known,
    Last,
    Address(IpAddr),
    Other,
}

impl Name {
    fn parse(name: &str) -> Self {
        if name == LOCK || OURS.contains(&name) {
            return Self::Known;
        }
        if let Some(set) = name.strip_prefix(LAST) {
            let numbered = set.strip_prefix('.').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
            return if set.is_empty() || numbered { Self::Last } else { Self::Other };
        }
        // Where a colon cannot be in a file's name it writes an underscore.
        name.replace('_', ":").parse().map_or(Self::Other, Self::Address)
    }
}

/// Container id and interface, each on a line of its own: CR LF by host-local's hand, LF by an editor's.
fn owner(bytes: &[u8]) -> Result<Attachment, Refusal> {
    let mut words = words(bytes)?;
    let container_id = words.next().ok_or(Refusal::Empty)?;
    let ifname = words.next().unwrap_or(IFNAME);
    let owner = ContainerId::parse(container_id).and_then(|container_id| {
        let ifname = Ifname::parse(ifname)?;
        Ok(Attachment { container_id, ifname })
    });
    owner.ok().filter(|_| words.next().is_none()).ok_or(Refusal::Content)
}

fn last(bytes: &[u8]) -> Result<IpAddr, Refusal> {
    words(bytes)?.next().ok_or(Refusal::Empty)?.parse().map_err(|_| Refusal::Last)
}

fn words(bytes: &[u8]) -> Result<impl Iterator<Item = &str>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::Content)?;
    Ok(text.split(['\r', '\n']).map(str::trim).filter(|word| !word.is_empty()))
}

/// host-local's lock, if it has made one: what is read under it stays true.
pub(crate) fn lock(directory: &Path, patience: Duration) -> Result<Option<Lock>, Error> {
    if has_lock(directory) { Ok(Some(Lock::take(&directory.join(LOCK), patience)?)) } else { Ok(None) }
}

pub(crate) fn has_lock(directory: &Path) -> bool {
    fs::symlink_metadata(directory.join(LOCK)).is_ok()
}

/// Read the directory, whose lock is held, if it has one.
pub(crate) fn read(directory: &Path) -> Result<Found, Error> {
    let mut found = Found::default();
    for entry in fs::read_dir(directory).map_err(store::Error::io("list", directory))? {
        found.add(entry.map_err(store::Error::io("list", directory))?.path(), content);
    }
    Ok(found)
}

fn content(path: &Path) -> Result<Vec<u8>, Refusal> {
    let file = open(path).map_err(Refusal::Unreadable)?.ok_or(Refusal::Kind)?;
    let mut bytes = Vec::new();
    let size = file.take(FILE_MOST + 1).read_to_end(&mut bytes).map_err(Refusal::Unreadable)?;
    if size as u64 > FILE_MOST { Err(Refusal::Content) } else { Ok(bytes) }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits();
    OpenOptions::new().read(true).custom_flags(flags).open(path).map(Some)
}

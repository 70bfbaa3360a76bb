//! The claim to an attachment: one ADD of it at a time. Two at once (a runtime's retry) would make, and undo, the same link
//! under the same name; the second is refused before it changes anything.
//!
//! A claim is a record lock (fcntl) of one byte of the file `adds` in the network's directory, at the hash of the
//! attachment. The kernel drops it when the process ends, however it ends, and names the process that has it. The file is
//! empty, and nothing else opens it: closing it anywhere in a process drops that process's record locks.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cni::Attachment;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, c_short};
use rustix::fs::{Mode, OFlags};

use crate::directory::Directory;
use crate::disk::{NOFOLLOW, StoreDir};
use crate::error::Error;
use crate::index::owner_hash;

/// Between two looks of one who waits.
const PAUSE: Duration = Duration::from_millis(5);

/// SlotState until dropped (or until the process ends).
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

impl Claim {
    /// Claim an attachment for an ADD.
    ///
    /// # Errors
    /// [`Error::Claimed`] at once when another process has it.
    pub fn take(dir: &Directory, owner: &Attachment) -> Result<Self, Error> {
        dir.prepare()?;
        let path = path(dir);
        let file = open(&path, OFlags::CREATE)?;
        match lock(&file, &path, owner)? {
            None => Ok(Self { _file: file }),
            Some(holder) => Err(Error::Claimed { path, owner: owner.clone(), holder }),
        }
    }

    /// Wait until no ADD of an attachment is under way, up to the deadline of the network's lock, and keep others from
    /// beginning. `None` where no ADD has ever claimed anything.
    ///
    /// # Errors
    /// [`Error::Claimed`] past the deadline.
    pub fn wait(dir: &Directory, owner: &Attachment) -> Result<Option<Self>, Error> {
        let path = path(dir);
        let file = match open(&path, OFlags::empty()) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let begun = Instant::now();
        loop {
            let late = begun.elapsed() >= dir.patience();
            match lock(&file, &path, owner)? {
                None => return Ok(Some(Self { _file: file })),
                Some(holder) if late => return Err(Error::Claimed { path, owner: owner.clone(), holder }),
                Some(_) => thread::sleep(PAUSE),
            }
        }
    }
}

fn path(dir: &Directory) -> PathBuf {
    dir.home().join("adds")
}

fn open(path: &Path, create: OFlags) -> Result<File, Error> {
    let opened = rustix::fs::open(path, OFlags::RDWR | create | NOFOLLOW, Mode::RUSR | Mode::WUSR);
    let file = File::from(opened.map_err(|errno| match errno {
        rustix::io::Errno::LOOP => Error::UnsafeFile { path: path.to_path_buf(), what: "a symlink" },
        _ => Error::io("open", path)(errno.into()),
    })?);
    let is_file = |metadata: Metadata| metadata.is_file();
    match file.metadata().map(is_file).map_err(Error::io("look at", path))? {
        true => Ok(file),
        false => Err(Error::UnsafeFile { path: path.to_path_buf(), what: "a directory, fifo or device" }),
    }
}

/// Locks the attachment's byte; otherwise the process that has it. 0 is one that this pid namespace does not see.
fn lock(file: &File, path: &Path, owner: &Attachment) -> Result<Option<i32>, Error> {
    let failed = |errno: Errno| Error::io("lock", path)(errno.into());
    let mut byte = libc::flock {
        l_type: constant(libc::F_WRLCK),
        l_whence: constant(libc::SEEK_SET),
        // The last byte of a file is not at the greatest offset.
        l_start: (owner_hash(owner) >> 2).cast_signed(),
        l_len: 1,
        l_pid: 0,
    };
    loop {
        match fcntl(file, FcntlArg::F_SETLK(&byte)) {
            Ok(_) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => break,
            Err(errno) => return Err(failed(errno)),
        }
    }
    fcntl(file, FcntlArg::F_GETLK(&mut byte)).map_err(failed)?;
    // It may have ended in between.
    let ended = byte.l_type == constant(libc::F_UNLCK);
    Ok(Some(if ended { 0 } else { byte.l_pid }))
}

fn constant(value: i32) -> c_short {
    c_short::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use cni::{ContainerId, Ifname};

    use super::*;

    fn owner(id: &str) -> Attachment {
        Attachment { container_id: ContainerId::parse(id).unwrap(), ifname: Ifname::parse("eth0").unwrap() }
    }

    fn directory(home: &Path) -> Directory {
        Directory::new(home.join("net"), Duration::from_millis(50))
    }

    /// Nothing by itself. Run by the test below in a process of its own: record locks do not keep apart what one process
    /// does.
    #[test]
    fn holds_a_claim_until_stdin_ends() {
        let Ok(home) = std::env::var("PODLAN_CLAIM") else { return };
        let _claim = Claim::take(&directory(home.as_ref()), &owner("c1")).unwrap();
        println!("claimed");
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
    }

    #[test]
    fn an_attachment_is_claimed_by_one_process_which_is_named_until_it_ends() {
        let home = tempfile::tempdir().unwrap();
        let dir = directory(home.path());
        assert!(Claim::wait(&dir, &owner("c1")).unwrap().is_none() && !dir.home().exists());
        let helper = ["--exact", "claim::tests::holds_a_claim_until_stdin_ends", "--nocapture"];
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(helper).env("PODLAN_CLAIM", home.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut said = io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("claimed") {
            line.clear();
            assert!(io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "it ended");
        }
        for refused in [Claim::take(&dir, &owner("c1")), Claim::wait(&dir, &owner("c1")).map(Option::unwrap)] {
            let refused = refused.unwrap_err();
            let Error::Claimed { holder, .. } = &refused else { panic!("{refused}") };
            assert_eq!(u32::try_from(*holder).unwrap(), child.id());
            assert!(refused.to_string().ends_with(&format!("in process {}", child.id())), "{refused}");
        }
        drop(Claim::take(&dir, &owner("c2")).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        Claim::take(&dir, &owner("c1")).unwrap();
    }

    #[test]
    fn a_file_of_claims_that_is_a_symlink_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let dir = directory(home.path());
        std::fs::create_dir(dir.home()).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", path(&dir)).unwrap();
        assert!(matches!(Claim::take(&dir, &owner("c1")), Err(Error::UnsafeFile { .. })));
    }
}

//! The exclusive lock of a network, with a deadline.
//! The lock file is made once, never removed, and not followed through a symlink.
//!
//! A busy lock is asked for again after a short pause, by the caller's own thread: a waiter that gives up leaves neither a
//! thread nor a descriptor behind. The pause grows with the time already waited, so that a queue of plugins at work is
//! served within its own length, and waiting for a lock that stays held takes no processor time.

mod holder;

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::disk::NOFOLLOW;
use crate::error::Error;

/// The first pause between two attempts.
const SHORTEST: Duration = Duration::from_micros(100);
/// No pause is longer.
const LONGEST: Duration = Duration::from_millis(20);
/// A pause is this part of the time already waited.
const PART: u32 = 16;

/// Holds the lock until dropped (or until the process ends, however it ends).
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Take the lock, made if it is not there. The directory must exist.
    ///
    /// # Errors
    /// [`Error::LockBusy`] at the deadline; [`Error::UnsafeFile`] when it is not a regular file.
    pub fn take(path: &Path, patience: Duration) -> Result<Self, Error> {
        let begun = Instant::now();
        loop {
            let (file, metadata) = open(path, OFlags::CREATE)?;
            if !wait(&file, path, begun, patience)? {
                let holder = holder::of(metadata.dev(), metadata.ino());
                return Err(Error::LockBusy { path: path.to_path_buf(), holder, waited: begun.elapsed() });
            }
            // The directory may have been removed meanwhile: a lock on a file that is gone protects nothing.
            if same_file(&metadata, path).map_err(Error::io("look at", path))? {
                return Ok(Self { _file: file });
            }
            if begun.elapsed() > patience {
                return Err(Error::LockBusy { path: path.to_path_buf(), holder: None, waited: begun.elapsed() });
            }
        }
    }

    /// Could the lock be taken, as far as a look says? Changes nothing, makes nothing and waits for nothing. A lock that is
    /// busy is no error, for its holder may be at work; one whose holder is stopped or dead is.
    pub(crate) fn probe(path: &Path) -> Result<(), Error> {
        let (file, metadata) = match open(path, OFlags::empty()) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        // Shared, so that two probes at once do not see each other; released with the file.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => match holder::of(metadata.dev(), metadata.ino()) {
                Some(pid) if !holder::may_release(pid) => {
                    Err(Error::LockBusy { path: path.to_path_buf(), holder: Some(pid), waited: Duration::ZERO })
                }
                _ => Ok(()),
            },
            Err(errno) => Err(Error::io("lock", path)(errno.into())),
        }
    }
}

/// Asks for the lock until it is had or `patience` is over since `begun`. At least one attempt, and one at the very end.
fn wait(file: &File, path: &Path, begun: Instant, patience: Duration) -> Result<bool, Error> {
    loop {
        // Before the attempt, so that the last one comes after the deadline, not before.
        let waited = begun.elapsed();
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if waited >= patience => return Ok(false),
            Err(TryLockError::WouldBlock) => {
                thread::sleep((waited / PART).clamp(SHORTEST, LONGEST).min(patience - waited));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
}

/// Read-only is enough to lock, so an existing lock serves on a read-only file system too.
fn open(path: &Path, create: OFlags) -> Result<(File, Metadata), Error> {
    let opened = rustix::fs::open(path, OFlags::RDONLY | create | NOFOLLOW, Mode::RUSR | Mode::WUSR);
    let refused = |what| Error::UnsafeFile { path: path.to_path_buf(), what };
    let file = File::from(opened.map_err(|errno| match errno {
        Errno::LOOP => refused("a symlink"),
        Errno::ISDIR => refused("a directory"),
        Errno::NXIO => refused("a socket or a device"),
        _ => Error::io("open", path)(errno.into()),
    })?);
    let metadata = file.metadata().map_err(Error::io("look at", path))?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(refused("a directory, fifo or device")) }
}

fn same_file(ours: &Metadata, path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(ours.dev() == there.dev() && ours.ino() == there.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(80);

    #[test]
    fn a_busy_lock_is_given_up_at_the_deadline_and_names_its_holder() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let held = Lock::take(&path, PATIENCE).unwrap();
        let begun = Instant::now();
        let Err(Error::LockBusy { path: named, holder, waited }) = Lock::take(&path, PATIENCE) else {
            panic!("two hold one lock");
        };
        assert_eq!(named, path);
        assert_eq!(holder, i32::try_from(std::process::id()).ok());
        assert!(waited >= PATIENCE && begun.elapsed() < PATIENCE * 50, "{waited:?}");
        drop(held);
        Lock::take(&path, Duration::from_secs(5)).unwrap();
    }

    fn entries(directory: &str) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    /// B4: an agent that meets a held lock each second for a day.
    #[test]
    fn attempts_that_are_given_up_leave_no_thread_and_no_descriptor() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let _held = Lock::take(&path, PATIENCE).unwrap();
        let counts = || (entries("/proc/self/fd"), entries("/proc/self/task"));
        let before = counts();
        for _ in 0..1000 {
            let refused = Lock::take(&path, Duration::from_micros(300)).unwrap_err();
            assert!(matches!(refused, Error::LockBusy { .. }), "{refused}");
        }
        let after = counts();
        // Other tests run beside this one: a leak would be a thousand.
        assert!(after.0 < before.0 + 200 && after.1 < before.1 + 200, "{before:?} became {after:?}");
    }

    #[test]
    fn a_deadline_of_nothing_is_one_attempt() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let held = Lock::take(&path, Duration::ZERO).unwrap();
        assert!(Lock::take(&path, Duration::ZERO).is_err());
        drop(held);
        Lock::take(&path, Duration::ZERO).unwrap();
    }

    /// S-082, S-083.
    #[test]
    fn a_probe_makes_nothing_and_is_not_stopped_by_a_holder_at_work() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        Lock::probe(&path).unwrap();
        assert!(!path.exists());
        let held = Lock::take(&path, PATIENCE).unwrap();
        Lock::probe(&path).unwrap();
        drop(held);
        Lock::probe(&path).unwrap();
        Lock::take(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_that_was_removed_while_it_was_waited_for_is_taken_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let held = Lock::take(&path, PATIENCE).unwrap();
        let waiting = thread::spawn({
            let path = path.clone();
            move || {
                let lock = Lock::take(&path, Duration::from_secs(5)).unwrap();
                same_file(&lock._file.metadata().unwrap(), &path).unwrap()
            }
        });
        // Queued or not, the outcome must be the same: a lock on the file that has the name.
        thread::sleep(PATIENCE);
        fs::remove_file(&path).unwrap();
        let newer = Lock::take(&path, Duration::from_secs(5)).unwrap();
        assert!(same_file(&newer._file.metadata().unwrap(), &path).unwrap());
        drop(held);
        drop(newer);
        assert!(waiting.join().unwrap());
    }

    /// E-39.
    #[test]
    fn what_is_not_a_regular_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let refused = || {
            let error = Lock::take(&path, PATIENCE).unwrap_err();
            assert!(matches!(error, Error::UnsafeFile { .. }), "{error}");
        };
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        refused();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refused();
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        refused();
    }
}

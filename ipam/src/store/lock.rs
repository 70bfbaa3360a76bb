//! The exclusive lock of a network, with a deadline.
//! Owns the lock file: made once, never removed, never followed through a symlink. Refuses to wait for ever.
//!
//! A lock that is busy is waited for in the kernel's queue (arrival order, no polling) by a thread of its own, so
//! that the caller can give up. A thread that was given up on takes the lock when its turn comes and lets it go at once.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::stat::{major, minor};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::disk::NOFOLLOW;
use crate::error::Error;

/// How often /proc/locks is read for a holder that is not in it.
const LOOKS: usize = 8;

/// Holds the lock until dropped (or until the process ends, however it ends).
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Take the lock, made if it is not there. The directory must exist.
    pub(crate) fn take(path: &Path, patience: Duration) -> Result<Self, Error> {
        let begun = Instant::now();
        loop {
            let (file, metadata) = open(path)?;
            let file = match file.try_lock() {
                Ok(()) => file,
                Err(TryLockError::WouldBlock) => {
                    let left = patience.saturating_sub(begun.elapsed());
                    wait(file, left).map_err(|error| match error {
                        Some(error) => Error::io("lock", path)(error),
                        None => Error::LockBusy {
                            path: path.to_path_buf(),
                            holder: holder(metadata.dev(), metadata.ino()),
                            waited: begun.elapsed(),
                        },
                    })?
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            };
            // Somebody may have removed the directory while we waited: a lock on a file that is gone protects nothing.
            if same_file(&metadata, path).map_err(Error::io("look at", path))? {
                return Ok(Self { _file: file });
            }
            if begun.elapsed() > patience {
                return Err(Error::LockBusy { path: path.to_path_buf(), holder: None, waited: begun.elapsed() });
            }
        }
    }
}

/// Read-only is enough to lock, so an existing lock serves on a read-only file system too.
fn open(path: &Path) -> Result<(File, Metadata), Error> {
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CREATE | NOFOLLOW, Mode::RUSR | Mode::WUSR);
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

fn wait(file: File, patience: Duration) -> Result<File, Option<io::Error>> {
    let (report, answer) = sync_channel(1);
    let queue = move || {
        let locked = file.lock().map(|()| file);
        // Nobody listens any more: the file is dropped and with it the lock.
        let _ = report.send(locked);
    };
    thread::Builder::new().name("lock".to_owned()).stack_size(64 * 1024).spawn(queue).map_err(Some)?;
    match answer.recv_timeout(patience) {
        Ok(locked) => locked.map_err(Some),
        Err(RecvTimeoutError::Timeout) => Err(None),
        Err(RecvTimeoutError::Disconnected) => Err(Some(io::ErrorKind::BrokenPipe.into())),
    }
}

fn same_file(ours: &Metadata, path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(ours.dev() == there.dev() && ours.ino() == there.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process that /proc/locks names for the file. The kernel tells the list a page at a time and goes on by number:
/// where a lock goes in between, another is left out.
fn holder(device: u64, inode: u64) -> Option<i32> {
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    (0..LOOKS).find_map(|_| holder_in(&fs::read_to_string("/proc/locks").ok()?, &file))
}

fn holder_in(locks: &str, file: &str) -> Option<i32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, _advisory, _write, pid, locked) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        (kind == "FLOCK" && locked == file).then(|| pid.parse().ok())?
    })
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

    /// Other locks come and go while the list is read.
    #[test]
    fn the_holder_is_named_while_thousands_of_other_locks_come_and_go() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let _held = Lock::take(&path, PATIENCE).unwrap();
        let file = fs::metadata(&path).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for busy in 0..2 {
                let (home, stop) = (&home, &stop);
                scope.spawn(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let others = (0..50).map(|n| home.path().join(format!("{busy}-{n}")));
                        drop(others.map(|other| Lock::take(&other, PATIENCE).unwrap()).collect::<Vec<_>>());
                    }
                });
            }
            let named = (0..2000).filter(|_| holder(file.dev(), file.ino()).is_some()).count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(named, 2000);
        });
    }

    #[test]
    fn a_lock_that_was_removed_while_it_was_waited_for_is_taken_anew() {
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

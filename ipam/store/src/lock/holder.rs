//! Which process holds a lock, by the kernel's list of locks, and whether that process can release it.

use std::fs;

use nix::sys::stat::{major, minor};

/// How often /proc/locks is read for a holder that is not in it.
const LOOKS: usize = 8;

/// The process that /proc/locks names for the file. The kernel returns the list a page at a time and continues by position:
/// where a lock is released in between, another is left out.
pub(super) fn of(device: u64, inode: u64) -> Option<i32> {
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    (0..LOOKS).find_map(|_| named_in(&fs::read_to_string("/proc/locks").ok()?, &file))
}

fn named_in(locks: &str, file: &str) -> Option<i32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, _advisory, _write, pid, locked) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        (kind == "FLOCK" && locked == file).then(|| pid.parse().ok())?
    })
}

/// Whether the process may still release a lock: false for a stopped one, and for a dead one whose child has the lock. True
/// for one that cannot be seen.
pub(super) fn may_release(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => state(&stat).is_none_or(|state| !matches!(state, 'T' | 't' | 'Z' | 'X')),
        // Numbers of another pid namespace are 0 here.
        Err(_) => pid <= 0 || fs::metadata("/proc/self/stat").is_err(),
    }
}

/// The third field of /proc/PID/stat, after the name in parentheses, which may hold any character.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::super::Lock;
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(80);

    /// Other locks come and go while the list is read.
    #[test]
    fn the_holder_is_named_while_thousands_of_other_locks_come_and_go() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let _held = Lock::take(&path, PATIENCE).unwrap();
        let file = fs::metadata(&path).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for busy in 0..2 {
                let (home, stop) = (&home, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let others = (0..50).map(|n| home.path().join(format!("{busy}-{n}")));
                        drop(others.map(|other| Lock::take(&other, PATIENCE).unwrap()).collect::<Vec<_>>());
                    }
                });
            }
            let named = (0..2000).filter(|_| of(file.dev(), file.ino()).is_some()).count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(named, 2000);
        });
    }

    #[test]
    fn a_process_that_is_stopped_or_dead_lets_nothing_go() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(may_release(own));
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let becomes = |expected: bool| {
            let until = Instant::now() + Duration::from_secs(10);
            while may_release(pid) != expected {
                assert!(Instant::now() < until, "it should have become {expected}");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
        becomes(false);
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
        becomes(true);
        drop(child.stdin.take());
        becomes(false);
        child.wait().unwrap();
        assert!(!may_release(pid));
    }

    #[test]
    fn a_name_with_parentheses_hides_no_state() {
        assert_eq!(state("7 (a) T) S 1 7 7"), Some('S'));
        assert_eq!(state("7 (cat) T 1 7 7"), Some('T'));
        assert_eq!(state("7 (cat)"), None);
    }
}

//! The processes of a node, identified by its UTS namespace: containers have another one, and are found as descendants.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::unistd::Pid;

/// The living processes in the UTS namespace of inode `uts`, and all their descendants. Zombies are not among them.
pub(super) fn of(uts: u64) -> BTreeSet<Pid> {
    let all: Vec<Process> =
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| read(&entry)).collect();
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    all.iter().for_each(|process| children.entry(process.parent).or_default().push(process.pid));
    let mut found = BTreeSet::new();
    let mut ahead: Vec<Pid> =
        all.iter().filter(|process| process.uts == Some(uts)).map(|process| process.pid).collect();
    while let Some(pid) = ahead.pop() {
        if found.insert(pid) {
            ahead.extend(children.get(&pid).into_iter().flatten());
        }
    }
    let living = |pid: &Pid| all.iter().any(|process| process.pid == *pid && process.uts.is_some());
    found.into_iter().filter(living).collect()
}

struct Process {
    pid: Pid,
    parent: Pid,
    /// `None` once it has ended.
    uts: Option<u64>,
}

fn read(entry: &fs::DirEntry) -> Option<Process> {
    let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
    let status = fs::read_to_string(entry.path().join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    let uts = fs::metadata(entry.path().join("ns/uts")).ok().map(|file| file.ino());
    Some(Process { pid: Pid::from_raw(pid), parent: Pid::from_raw(parent), uts })
}

//! State that no network namespace has of its own and that belongs to the machine: its sysctls, the parameters of its
//! modules, its cgroups. A kubelet or a proxy with all privileges changes some of it; here none may change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use podlan_conformance::lab::{Error, Node};

/// State that the kernel or a process of the machine changes at any time.
const RESTLESS: [&str; 6] = ["random", "ns_last_pid", "pty", "stat_refresh", "binfmt_misc", "sched_domain"];

pub struct Global(BTreeMap<PathBuf, String>);

impl Global {
    pub fn now() -> Result<Self, Error> {
        let mut all = BTreeMap::new();
        for folder in fs::read_dir("/proc/sys").into_iter().flatten().flatten() {
            if folder.file_name() != "net" {
                settings(&folder.path(), &mut all);
            }
        }
        for module in fs::read_dir("/sys/module").into_iter().flatten().flatten() {
            settings(&module.path().join("parameters"), &mut all);
        }
        cgroups(Path::new("/sys/fs/cgroup"), &mut all);
        match all.len() {
            0..100 => Err(Error::Unreadable { from: "/proc/sys".into(), said: format!("{} settings", all.len()) }),
            _ => Ok(Self(all)),
        }
    }

    /// Nothing has changed since `before`.
    pub fn is_as(&self, before: &Self) -> Result<(), Error> {
        let names = self.0.keys().chain(before.0.keys());
        let changed: Vec<String> = names
            .filter(|name| self.0.get(*name) != before.0.get(*name))
            .map(|name| format!("{}: {:?} was {:?}", name.display(), self.0.get(name), before.0.get(name)))
            .collect();
        match changed.is_empty() {
            true => Ok(()),
            false => Err(Error::Unreadable { from: "what belongs to the machine".into(), said: changed.join("\n") }),
        }
    }
}

/// Each file beneath `folder` that its owner may write.
fn settings(folder: &Path, all: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if RESTLESS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        match entry.metadata() {
            Ok(kind) if kind.is_dir() => settings(&path, all),
            Ok(kind) if kind.permissions().mode() & 0o222 != 0 => {
                if let Ok(value) = fs::read_to_string(&path) {
                    all.insert(path, value.trim_end().to_owned());
                }
            }
            _ => {}
        }
    }
}

/// The cgroups that a kubelet of this lab would have made and be in. Another Kubernetes on this machine, such as a kind
/// cluster, makes and removes such cgroups at any time. Those that this lab would have made and left are covered by
/// [`no_cgroup_can_be_made`].
fn cgroups(folder: &Path, all: &mut BTreeMap<PathBuf, String>) {
    for entry in directories(folder) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if ["kube", "k8s"].iter().any(|word| name.contains(word)) && holds_a_process_of_the_lab(&entry) {
            all.insert(entry.clone(), "a cgroup".into());
        }
        cgroups(&entry, all);
    }
}

/// Whether a process of this process' PID namespace is in it. One of another namespace is 0 there (cgroup v2) or is not
/// there (v1).
fn holds_a_process_of_the_lab(cgroup: &Path) -> bool {
    let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    processes.lines().any(|process| process != "0")
}

fn directories(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// On this node no cgroup can be made, in no hierarchy.
pub fn no_cgroup_can_be_made(node: &Node) -> Result<(), Error> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let made = node.place().enter(|| {
        let tried = directories(&root).into_iter().chain([root]).map(|hierarchy| hierarchy.join("podlan-test"));
        tried.filter(|cgroup| fs::create_dir(cgroup).and_then(|()| fs::remove_dir(cgroup)).is_ok()).collect::<Vec<_>>()
    })?;
    match made.is_empty() {
        true => Ok(()),
        false => Err(Error::Unreadable { from: "the cgroups of a node".into(), said: format!("made {made:?}") }),
    }
}

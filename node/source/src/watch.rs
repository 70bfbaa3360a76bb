//! Notices that a file may have changed: inotify on every directory that decides what its path leads to, because a write in
//! place, a rename over the file, and a swapped link anywhere on the way all show there. It says only that something
//! happened, never what.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InotifyEvent, WatchDescriptor};

use super::chain::{Chain, Names, chain};
use files::watcher::Watcher;

/// Finished changes only: a file that is open for writing may be half a file.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_ATTRIB);

/// The directory itself went: what comes in its place must be watched instead.
const GONE: AddWatchFlags =
    AddWatchFlags::IN_DELETE_SELF.union(AddWatchFlags::IN_MOVE_SELF).union(AddWatchFlags::IN_UNMOUNT);

/// How often the way is looked at again before it is watched as it is: it can change while the watches are set.
const TRIES: usize = 8;

/// A watch on the directories that decide what a path holds.
pub(crate) struct Watch {
    watcher: Watcher,
    path: PathBuf,
    chain: Chain,
    watched: HashMap<WatchDescriptor, Names>,
}

impl Watch {
    /// Watches `path`, a file or a directory, and the way to where it really lies.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut found = chain(path);
        for _ in 0..TRIES {
            let watch = Self::over(path, found)?;
            found = chain(path);
            if found == watch.chain {
                return Ok(watch);
            }
        }
        Self::over(path, found)
    }

    fn over(path: &Path, chain: Chain) -> io::Result<Self> {
        let watcher = Watcher::open()?;
        let mut watched: HashMap<WatchDescriptor, Names> = HashMap::new();
        for (directory, names) in &chain {
            match watcher.add(directory, CHANGES | GONE | AddWatchFlags::IN_ONLYDIR) {
                // Two names of one directory have one watch.
                Ok(one) => {
                    watched.entry(one).and_modify(|known| known.join(names)).or_insert_with(|| names.clone());
                }
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if watched.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        Ok(Self { watcher, path: path.to_owned(), chain, watched })
    }

    /// Waits for a change. True: a watched directory is there no longer, or the watch failed.
    pub(crate) async fn noticed(&mut self) -> bool {
        loop {
            if self.watcher.wait().await.is_err() {
                return true;
            }
            let Ok(events) = self.watcher.read() else { return true };
            let mut that_matter = events.iter().filter(|event| self.matters(event)).peekable();
            if that_matter.peek().is_some() {
                return that_matter.any(|event| event.mask.intersects(GONE));
            }
        }
    }

    /// Whether the way to the file is another one now, so that other directories must be watched.
    pub(crate) fn is_elsewhere(&self) -> bool {
        chain(&self.path) != self.chain
    }

    fn matters(&self, event: &InotifyEvent) -> bool {
        match (self.watched.get(&event.wd), &event.name) {
            (Some(Names::These(names)), Some(name)) => names.contains(name),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    /// A change made by `change` must be noticed by a watch on `path`.
    fn notices(path: &Path, change: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watch = Watch::open(path).unwrap();
            change();
            tokio::time::timeout(DEADLINE, watch.noticed()).await.expect("the change is noticed");
        });
    }

    #[test]
    fn every_way_to_change_a_file_is_noticed() {
        let dir = std::env::temp_dir().join(format!("podlan-node-watch-{}", std::process::id()));
        fs::create_dir_all(dir.join("v1")).unwrap();
        fs::create_dir_all(dir.join("v2")).unwrap();
        let file = dir.join("nodes.json");
        fs::write(&file, "1").unwrap();
        notices(&file, || fs::write(&file, "2").unwrap());
        notices(&file, || {
            fs::write(dir.join(".new"), "3").unwrap();
            fs::rename(dir.join(".new"), &file).unwrap();
        });
        notices(&file, || fs::remove_file(&file).unwrap());
        // A ConfigMap: nodes.json -> ..data/nodes.json, ..data -> v1; the update renames a new ..data over the old.
        fs::write(dir.join("v1/nodes.json"), "1").unwrap();
        fs::write(dir.join("v2/nodes.json"), "2").unwrap();
        symlink("v1", dir.join("..data")).unwrap();
        symlink("..data/nodes.json", &file).unwrap();
        let swap = || {
            symlink("v2", dir.join("..data_tmp")).unwrap();
            fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
        };
        notices(&file, swap);
        notices(&file, || fs::write(dir.join("v2/nodes.json"), "3").unwrap());
        fs::remove_dir_all(&dir).unwrap();
    }
    #[test]
    fn a_change_anywhere_on_the_way_is_noticed_and_one_beside_it_is_not() {
        let dir = std::env::temp_dir().join(format!("podlan-node-way-{}", std::process::id()));
        for release in ["v1", "v2"] {
            fs::create_dir_all(dir.join("releases").join(release)).unwrap();
            fs::write(dir.join("releases").join(release).join("nodes.yaml"), release).unwrap();
        }
        symlink("releases/v1", dir.join("current")).unwrap();
        symlink(dir.join("current"), dir.join("live")).unwrap();
        let file = dir.join("live/nodes.yaml");
        let swap = |link: &str, target: &Path| {
            symlink(target, dir.join("new")).unwrap();
            fs::rename(dir.join("new"), dir.join(link)).unwrap();
        };
        notices(&file, || swap("current", Path::new("releases/v2")));
        notices(&file, || swap("live", &dir.join("releases/v1")));
        notices(&file, || fs::rename(dir.join("releases"), dir.join("old")).unwrap());
        notices(&file, || fs::rename(dir.join("old"), dir.join("releases")).unwrap());
        notices(&file, || fs::remove_dir_all(dir.join("releases/v1")).unwrap());
        notices(&file, || fs::create_dir(dir.join("releases/v1")).unwrap());
        notices(&file, || fs::write(dir.join("releases/v1/nodes.yaml"), "again").unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watch = Watch::open(&file).unwrap();
            fs::write(dir.join("beside"), "").unwrap();
            fs::write(dir.join("releases/v1/other.yaml"), "").unwrap();
            let noticed = tokio::time::timeout(Duration::from_millis(100), watch.noticed()).await;
            assert!(noticed.is_err(), "what does not matter is not noticed");
        });
        fs::remove_dir_all(&dir).unwrap();
    }
}

//! Word that a file may have changed: inotify on the directories around it, because a rename over the file, a swapped
//! symlink (ConfigMap) and a write in place all show there. It says only that something happened, never what.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::agent::part::Activity;
use crate::readiness::Readiness;

/// Finished changes only: a file that is open for writing may be half a file.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_CREATE);

/// The directory itself went: whoever comes in its place must be watched anew.
const GONE: AddWatchFlags =
    AddWatchFlags::IN_DELETE_SELF.union(AddWatchFlags::IN_MOVE_SELF).union(AddWatchFlags::IN_UNMOUNT);

/// A watch on the directories that decide what a path holds.
pub(crate) struct Watch {
    inotify: Inotify,
    readiness: Readiness,
    path: PathBuf,
    directories: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches `path`, a file or a directory, and where it really lies.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let directories = directories(path);
        let mut armed = 0;
        for directory in &directories {
            match inotify.add_watch(directory, CHANGES | GONE) {
                Ok(_) => armed += 1,
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if armed == 0 {
            return Err(Errno::ENOENT.into());
        }
        let readiness = Readiness::of(inotify.as_fd())?;
        Ok(Self { inotify, readiness, path: path.to_owned(), directories })
    }

    /// Waits for a change and then for `settle` of quiet. True: the directories themselves moved, watch anew.
    pub(crate) async fn changed(&mut self, settle: Duration, activity: &Activity) -> bool {
        let mut gone = self.next().await;
        while let Ok(more) = tokio::time::timeout(settle, self.next()).await {
            gone |= more;
        }
        let _begun = activity.begin(format!("look where {} lies", self.path.display()));
        gone || directories(&self.path) != self.directories
    }

    /// Waits for events and drops them; true when a watched directory went, or the watch failed.
    async fn next(&mut self) -> bool {
        let mut gone = false;
        if self.readiness.wait().await.is_err() {
            return true;
        }
        loop {
            match self.inotify.read_events() {
                Ok(events) => gone |= events.iter().any(|event| event.mask.intersects(GONE)),
                Err(Errno::EAGAIN) => return gone,
                Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }
}

/// The directory of `path`, the directory at the end of its symlinks, and `path` itself where it is a directory.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Some(PathBuf::from(".")),
        parent => parent.map(Path::to_owned),
    };
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut all: BTreeSet<_> = [parent(path), parent(&real)].into_iter().flatten().collect();
    if real.is_dir() {
        all.insert(path.to_owned());
        all.insert(real);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const SETTLE: Duration = Duration::from_millis(1);
    const DEADLINE: Duration = Duration::from_secs(5);

    /// A change made by `change` must be noticed by a watch on `path`.
    fn notices(path: &Path, change: impl FnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watch = Watch::open(path).unwrap();
            change();
            tokio::time::timeout(DEADLINE, watch.changed(SETTLE, &Activity::default()))
                .await
                .expect("the change is noticed");
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
}

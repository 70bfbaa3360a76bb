//! An inotify instance in a tokio runtime: its owner chooses the directories and events; here events are waited for and
//! read until none are left.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use parts::Readiness;

/// The instance. Needs a tokio runtime with IO enabled.
pub struct Watcher {
    inotify: Arc<Inotify>,
    readiness: Readiness,
}

/// Adds directories to a [`Watcher`] from any thread: one that hangs blocks only its own thread.
#[derive(Clone)]
pub struct Watched(Arc<Inotify>);

impl Watched {
    /// Watches these directories too; one that is watched already stays watched, one that does not exist is skipped.
    pub fn add_all(&self, directories: &BTreeSet<std::path::PathBuf>, events: AddWatchFlags) {
        for directory in directories {
            let _ = self.0.add_watch(directory, events);
        }
    }
}

impl Watcher {
    /// Watches nothing yet.
    pub fn open() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self { readiness: Readiness::of(inotify.as_fd())?, inotify: Arc::new(inotify) })
    }

    /// Watches a path; an error is the kernel's.
    pub fn add(&self, path: &Path, events: AddWatchFlags) -> Result<WatchDescriptor, Errno> {
        self.inotify.add_watch(path, events)
    }

    /// A handle by which other threads add directories.
    pub fn watched(&self) -> Watched {
        Watched(self.inotify.clone())
    }

    /// Waits until there may be events.
    pub async fn wait(&self) -> io::Result<()> {
        self.readiness.wait().await
    }

    /// All pending events.
    pub fn read(&self) -> io::Result<Vec<InotifyEvent>> {
        let mut all = Vec::new();
        loop {
            match self.inotify.read_events() {
                Ok(events) => all.extend(events),
                Err(Errno::EAGAIN) => return Ok(all),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

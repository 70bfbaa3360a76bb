//! An inotify instance in a tokio runtime: which directories it watches and for what is its owner's; here its events are
//! waited for and read until there are none left.

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

/// Adds directories to a [`Watcher`] from any thread: one that hangs keeps its own thread alone.
#[derive(Clone)]
pub struct Watched(Arc<Inotify>);

impl Watched {
    /// Watches these directories too; one that is watched already stays watched, one that is not there is left out.
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

    /// What other threads add directories by.
    pub fn watched(&self) -> Watched {
        Watched(self.inotify.clone())
    }

    /// Waits until there may be events.
    pub async fn wait(&self) -> io::Result<()> {
        self.readiness.wait().await
    }

    /// All events that wait.
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

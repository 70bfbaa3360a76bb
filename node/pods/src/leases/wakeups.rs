//! Word that a pod may have ended: a link that went, a file that went from a directory of network namespaces. It says only
//! that something happened, never what.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use netlink::{Event, Monitor};
use netlink_packet_route::RouteNetlinkMessage;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use parts::Readiness;

/// A namespace's file is removed; a directory that goes may come anew.
const GOING: AddWatchFlags = AddWatchFlags::IN_DELETE
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_UNMOUNT);

/// What is listened to.
pub(super) struct Wakeups {
    links: Monitor,
    links_ready: Readiness,
    files: Arc<Inotify>,
    files_ready: Readiness,
}

/// The directories in which files that go are heard of.
pub(super) struct Directories(Arc<Inotify>);

impl Directories {
    /// Listens to these too; one that is not there is heard of by its pods' links alone.
    pub(super) fn listen_to(&self, directories: &BTreeSet<PathBuf>) {
        for directory in directories {
            // One that is watched already stays watched.
            let _ = self.0.add_watch(directory, GOING);
        }
    }
}

impl Wakeups {
    /// Listens to the links of this network namespace.
    pub(super) fn open() -> io::Result<Self> {
        let links = Monitor::of_links().map_err(io::Error::other)?;
        let files = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self {
            links_ready: Readiness::of(links.as_fd())?,
            files_ready: Readiness::of(files.as_fd())?,
            links,
            files: Arc::new(files),
        })
    }

    /// By which directories are listened to, from any thread: one that hangs keeps its own thread alone.
    pub(super) fn directories(&self) -> Directories {
        Directories(self.files.clone())
    }

    /// Waits until something went.
    pub(super) async fn hear(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                ready = self.links_ready.wait() => ready?,
                ready = self.files_ready.wait() => ready?,
            }
            if self.drain()? {
                return Ok(());
            }
        }
    }

    /// Reads all that waits; true when something went, or news was lost.
    fn drain(&mut self) -> io::Result<bool> {
        let mut went = false;
        while let Some(events) = self.links.read().map_err(io::Error::other)? {
            went |= events.iter().any(|event| match event {
                Event::Overflow => true,
                Event::Switched(_) | Event::Rules | Event::Nexthops => false,
                Event::Changed(message) => matches!(**message, RouteNetlinkMessage::DelLink(_)),
            });
        }
        loop {
            match self.files.read_events() {
                Ok(events) => went |= !events.is_empty(),
                Err(nix::errno::Errno::EAGAIN) => return Ok(went),
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

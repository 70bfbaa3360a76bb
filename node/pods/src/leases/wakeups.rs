//! Wake-ups for the lease sweep: link deletions, and inotify deletions in directories of network namespaces. They
//! report that something was removed, not what.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use files::watcher::{Watched, Watcher};
use netlink::{Event, Monitor};
use netlink_packet_route::RouteNetlinkMessage;
use nix::sys::inotify::AddWatchFlags;

use parts::Readiness;

/// A namespace's file is removed; a directory that is removed may be created again.
const GOING: AddWatchFlags = AddWatchFlags::IN_DELETE
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_UNMOUNT);

/// The sources of wake-ups.
pub(super) struct Wakeups {
    links: Monitor,
    links_ready: Readiness,
    files: Watcher,
}

/// The directories in which removed files cause a wake-up.
pub(super) struct Directories(Watched);

impl Directories {
    /// Watches these too; for one that does not exist only its pods' links cause wake-ups.
    pub(super) fn listen_to(&self, directories: &BTreeSet<PathBuf>) {
        self.0.add_all(directories, GOING);
    }
}

impl Wakeups {
    /// Watches the links of this network namespace.
    pub(super) fn open() -> io::Result<Self> {
        let links = Monitor::of_links().map_err(io::Error::other)?;
        Ok(Self { links_ready: Readiness::of(links.as_fd())?, files: Watcher::open()?, links })
    }

    /// Adds directories from any thread: one that hangs blocks only its own thread.
    pub(super) fn directories(&self) -> Directories {
        Directories(self.files.watched())
    }

    /// Waits until something was removed.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                ready = self.links_ready.wait() => ready?,
                ready = self.files.wait() => ready?,
            }
            if self.drain()? {
                return Ok(());
            }
        }
    }

    /// Reads all pending events; true when something was removed, or events were lost.
    fn drain(&mut self) -> io::Result<bool> {
        let mut went = false;
        while let Some(events) = self.links.read().map_err(io::Error::other)? {
            went |= events.iter().any(|event| match event {
                Event::Overflow => true,
                Event::Switched(_) | Event::Rules | Event::Nexthops => false,
                Event::Changed(message) => matches!(**message, RouteNetlinkMessage::DelLink(_)),
            });
        }
        went |= !self.files.read()?.is_empty();
        Ok(went)
    }
}

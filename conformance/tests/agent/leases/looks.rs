//! When the agent looks at its leases: each look begins with a list of the directory of all networks, which inotify tells of.
//! That something does not happen is thus known by what happened, and not by the time that passed.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use podlan_conformance::lab::{Error, Node, eventually};

/// A look follows the one before within an hour, or 20 ms; never is it waited for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// When an agent that heard of something looks once more, a little less: its timer is the only cause of such a pause.
const ONCE_MORE: Duration = Duration::from_millis(900);

/// The looks of a node's agent from now on.
pub(super) struct Looks {
    inotify: Inotify,
    seen: Vec<Instant>,
}

impl Looks {
    pub(super) fn of(node: &Node) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        inotify
            .add_watch(&node.path(ipam::DEFAULT_DATA_DIR), AddWatchFlags::IN_OPEN | AddWatchFlags::IN_ONLYDIR)
            .unwrap();
        Self { inotify, seen: Vec::new() }
    }

    fn read(&mut self) {
        match self.inotify.read_events() {
            // Of the directory itself, and not of what is in it.
            Ok(events) => self.seen.extend(events.iter().filter(|event| event.name.is_none()).map(|_| Instant::now())),
            Err(errno) => assert_eq!(errno, Errno::EAGAIN),
        }
    }

    /// Waits until looks began and ended: the begin of one is the end of that before.
    pub(super) fn pass(mut self) -> Result<(), Error> {
        eventually(PATIENCE, "the agent looks a few times more", || {
            self.read();
            if self.seen.len() > 3 { Ok(()) } else { Err(format!("{} looks", self.seen.len())) }
        })
    }

    /// Waits until it looked because of something, and once more a second later: after that it looks by news alone.
    pub(super) fn come_to_an_end(mut self) -> Result<(), Error> {
        eventually(PATIENCE, "the agent looks, and once more a second later", || {
            self.read();
            let paused = self.seen.windows(2).any(|pair| pair[1] - pair[0] > ONCE_MORE);
            if paused { Ok(()) } else { Err(format!("{:?}", self.seen)) }
        })
    }
}

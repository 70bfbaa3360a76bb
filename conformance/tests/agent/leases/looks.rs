//! The sweeps of an agent over its leases: each begins by listing the directory of all networks, which inotify reports.
//! That something does not happen is thus known from events, not from elapsed time.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use podlan_conformance::lab::{Error, Node, eventually};

/// A sweep follows the one before within an hour, or 20 ms; the deadline never has to expire.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause after which an agent sweeps once more after an event, a little less: only its timer causes such a pause.
const ONCE_MORE: Duration = Duration::from_millis(900);

/// The sweeps of a node's agent from now on.
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
            // Events of the directory itself, not of its entries.
            Ok(events) => self.seen.extend(events.iter().filter(|event| event.name.is_none()).map(|_| Instant::now())),
            Err(errno) => assert_eq!(errno, Errno::EAGAIN),
        }
    }

    /// Waits until sweeps began and ended: the start of one is the end of the one before.
    pub(super) fn pass(mut self) -> Result<(), Error> {
        eventually(PATIENCE, "the agent sweeps a few more times", || {
            self.read();
            if self.seen.len() > 3 { Ok(()) } else { Err(format!("{} looks", self.seen.len())) }
        })
    }

    /// Waits until it swept because of an event, and once more a second later: after that it sweeps on events only.
    pub(super) fn come_to_an_end(mut self) -> Result<(), Error> {
        eventually(PATIENCE, "the agent sweeps, and once more a second later", || {
            self.read();
            let paused = self.seen.windows(2).any(|pair| pair[1] - pair[0] > ONCE_MORE);
            if paused { Ok(()) } else { Err(format!("{:?}", self.seen)) }
        })
    }
}

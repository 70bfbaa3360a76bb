//! The kernel's events as the loop waits for them. A socket that is not to be had, or that failed, is opened again; whatever
//! changed meanwhile counts as lost events.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink::Monitor;
use tokio::time::sleep_until;

use agent_core::KernelEvents;
use parts::Readiness;

/// How soon it is opened again.
const REOPEN: Duration = Duration::from_millis(500);

/// How many datagrams of events are read at once: a flood must not keep the routes from being right.
const MOST: usize = 512;

/// Events, as long as the kernel gives a socket for them.
pub(super) struct Listener {
    open: Option<(Monitor, Readiness)>,
    trouble: Option<String>,
    /// Events may have been lost since it was last asked.
    lost: bool,
    /// When it is opened again.
    due: Instant,
    /// Events remain; edge-triggered readiness will not fire again for them.
    unread: bool,
}

impl Listener {
    pub(super) fn open() -> Self {
        let mut listener = Self { open: None, trouble: None, lost: false, due: Instant::now(), unread: false };
        listener.reopen();
        listener
    }

    /// Waits until there may be something to read, or something new to say about why there is not.
    pub(super) async fn wait(&mut self) {
        match &self.open {
            Some((_, readiness)) => {
                if let Err(error) = readiness.wait().await {
                    self.fail(&error);
                }
            }
            None => {
                sleep_until(self.due.into()).await;
                self.reopen();
            }
        }
    }

    /// Whether events remain that [`Self::wait`] does not wait for.
    pub(super) fn has_unread(&self) -> bool {
        self.unread
    }

    /// Reads the events that wait.
    pub(super) fn read(&mut self) -> KernelEvents {
        // No events were received for a while: everything may have changed.
        let lost = self.open.is_some() && std::mem::take(&mut self.lost);
        let mut events = Vec::new();
        self.unread = true;
        for _ in 0..MOST {
            match self.open.as_mut().map(|(monitor, _)| monitor.read()) {
                Some(Ok(Some(datagram))) => events.extend(datagram),
                Some(Err(error)) => self.fail(&error),
                Some(Ok(None)) | None => {
                    self.unread = false;
                    break;
                }
            }
        }
        KernelEvents { events, lost, trouble: self.trouble.clone() }
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        (self.open, self.lost) = (None, true);
        let trouble = error.to_string();
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(error = trouble, "route changes in the kernel are not received");
        }
        self.trouble = Some(trouble);
        self.due = Instant::now() + REOPEN;
    }

    fn reopen(&mut self) {
        let opened = Monitor::open().map_err(std::io::Error::other);
        match opened.and_then(|monitor| Readiness::of(monitor.as_fd()).map(|readiness| (monitor, readiness))) {
            Ok(open) => {
                self.open = Some(open);
                self.trouble = None;
            }
            Err(error) => self.fail(&error),
        }
    }
}

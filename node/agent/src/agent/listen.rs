//! The kernel's events as the loop waits for them. A socket that is not to be had, or that failed, is opened again; whatever
//! changed meanwhile counts as lost events.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink::{Event, Monitor};
use tokio::time::sleep_until;

use parts::Readiness;

/// How soon it is opened again.
const REOPEN: Duration = Duration::from_millis(500);

/// Events, as long as the kernel gives a socket for them.
pub(super) struct Listener {
    open: Option<(Monitor, Readiness)>,
    trouble: Option<String>,
    /// Events may have been lost since it was last asked.
    lost: bool,
    /// When it is opened again, whoever waits for it meanwhile.
    due: Instant,
}

impl Listener {
    pub(super) fn open() -> Self {
        let mut listener = Self { open: None, trouble: None, lost: false, due: Instant::now() };
        listener.reopen();
        listener
    }

    /// Waits until there may be something to read.
    pub(super) async fn wait(&mut self) {
        loop {
            match &self.open {
                Some((_, readiness)) => match readiness.wait().await {
                    Ok(()) => return,
                    Err(error) => self.fail(&error),
                },
                None => {
                    sleep_until(self.due.into()).await;
                    if self.reopen() {
                        return;
                    }
                }
            }
        }
    }

    /// The events of one datagram; `None` when there are none for now.
    pub(super) fn read(&mut self) -> Option<Vec<Event>> {
        let (monitor, _) = self.open.as_mut()?;
        match monitor.read() {
            Ok(events) => events,
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Whether everything must be looked at again: nobody listened for a while.
    pub(super) fn take_lost(&mut self) -> bool {
        self.open.is_some() && std::mem::take(&mut self.lost)
    }

    /// Why events are not received now.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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

    fn reopen(&mut self) -> bool {
        let opened = Monitor::open().map_err(std::io::Error::other);
        match opened.and_then(|monitor| Readiness::of(monitor.as_fd()).map(|readiness| (monitor, readiness))) {
            Ok(open) => {
                self.open = Some(open);
                self.trouble = None;
            }
            Err(error) => self.fail(&error),
        }
        self.open.is_some()
    }
}

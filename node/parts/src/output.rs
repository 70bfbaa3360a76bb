//! Where a part says how it stands: the latest value only, and one wake-up of the loop for however many changes.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// A part's end of it. The loop has a receiver of the value, and waits for the wake-ups of all parts at once.
#[derive(Clone)]
pub struct Output<T> {
    latest: watch::Sender<T>,
    changed: Arc<Notify>,
}

impl<T: PartialEq> Output<T> {
    /// Both ends. `changed` is notified of each change.
    pub fn new(first: T, changed: Arc<Notify>) -> (Self, watch::Receiver<T>) {
        let (latest, receiver) = watch::channel(first);
        (Self { latest, changed }, receiver)
    }

    /// Looks at what was set last.
    pub fn latest<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.latest.borrow())
    }

    /// Replaces the value; wakes the loop where it is another one.
    pub fn set(&self, now: T) {
        let replace = |latest: &mut T| {
            let is_new = *latest != now;
            *latest = now;
            is_new
        };
        if self.latest.send_if_modified(replace) {
            self.changed.notify_one();
        }
    }
}

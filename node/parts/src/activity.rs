//! What a part is at, and since when: by this a part that hangs is named.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What one part does now; shared with the loop, which only reads it.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<Option<(Instant, String)>>>);

/// Ends what was begun with [`Activity::begin`] when it goes.
pub struct Begun<'a>(&'a Activity);

impl Activity {
    /// The part does this now, until what is returned goes. For whatever can block.
    pub fn begin(&self, doing: impl Into<String>) -> Begun<'_> {
        *self.lock() = Some((Instant::now(), doing.into()));
        Begun(self)
    }

    /// What it has been at for longer than `most`.
    pub(super) fn slow(&self, now: Instant, most: Duration) -> Option<String> {
        let doing = self.lock();
        doing.as_ref().filter(|(since, _)| now.saturating_duration_since(*since) > most).map(|(_, doing)| doing.clone())
    }

    /// What it is at, "" for nothing.
    pub(super) fn doing(&self) -> String {
        self.lock().as_ref().map(|(_, doing)| doing.clone()).unwrap_or_default()
    }

    pub(super) fn clear(&self) {
        *self.lock() = None;
    }

    /// Held for the length of these lines alone.
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

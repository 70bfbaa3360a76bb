//! One place for the latest of something large: what nobody took is replaced, what was taken is kept nowhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The place, shared by who puts and who takes.
pub struct Slot<T>(Arc<Inner<T>>);

struct Inner<T> {
    latest: Mutex<Option<T>>,
    put: Notify,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::new(Inner { latest: Mutex::new(None), put: Notify::new() }))
    }
}

impl<T> Slot<T> {
    /// Puts the latest; what nobody took is dropped.
    pub fn put(&self, value: T) {
        *self.lock() = Some(value);
        self.0.put.notify_one();
    }

    /// Puts back what was taken, unless there is a later one.
    pub fn put_back(&self, value: T) {
        self.lock().get_or_insert(value);
    }

    /// Takes what was put last, if nobody took it yet.
    pub fn take(&self) -> Option<T> {
        self.lock().take()
    }

    /// Whether nobody took yet what was put last.
    pub fn is_full(&self) -> bool {
        self.lock().is_some()
    }

    /// Waits until something was put.
    pub async fn filled(&self) {
        self.0.put.notified().await;
    }

    /// Held for the length of these lines alone.
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

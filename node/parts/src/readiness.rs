//! Word from the runtime that a descriptor of another library has something to read. It reads nothing itself.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The readiness of one open file. Edge-triggered: who is woken must read until there is nothing left.
pub struct Readiness(AsyncFd<OwnedFd>);

impl Readiness {
    /// Watches the file behind `descriptor`, by a descriptor of its own.
    pub fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let own = descriptor.try_clone_to_owned()?;
        #[expect(unsafe_code, reason = "tokio has no safe way to watch a descriptor")]
        // SAFETY: an `OwnedFd` gives the same descriptor for as long as it lives, and `AsyncFd` keeps it alive until it
        // has been taken out of the runtime again.
        let watched = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        Ok(Self(watched?))
    }

    /// Waits until there may be something to read.
    pub async fn wait(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

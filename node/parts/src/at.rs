//! Waits for the time that a state machine names.

use std::time::Instant;

/// Waits until an instant of the runtime's clock, or for ever where there is none.
pub async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

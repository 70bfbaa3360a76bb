//! The lease store under the real plugin: damaged, full, not writable, and what STATUS says of it.

mod clock;
mod damaged;
mod full_disk;
mod status_and_add;

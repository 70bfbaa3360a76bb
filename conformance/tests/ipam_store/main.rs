//! The lease store under the real plugin: damaged, full, not writable, and the STATUS of each.

mod clock;
mod damaged;
mod full_disk;
mod status_and_add;

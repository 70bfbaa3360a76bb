//! The real podlan-ipam: as a runtime starts it, killed and refused at every system call, and in a herd.

#![expect(clippy::unwrap_used, reason = "what a test's own tools meet is a failure of the test")]

mod call;
mod herd;
mod import;
mod kill;
mod protocol;

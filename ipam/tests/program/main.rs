//! The real podlan-ipam: as a runtime starts it, killed and refused at every system call, and in a herd.

mod call;
mod herd;
mod kill;
mod protocol;

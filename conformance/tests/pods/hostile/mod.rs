//! A pod that attacks: with frames of its own making, from a user namespace of its own, by names and texts that mislead.
//! Where a defence can be taken away the test takes it away, and the same attack goes through: it cannot pass for nothing.
//!
//! ```text
//!   node1
//!     ├── thief   sends whatever it likes
//!     ├── victim  whom it would like to be
//!     └── target  whom it would like to deceive
//! ```

mod addresses;
mod frames;
mod links;
mod messages;
mod neighbours;
mod privacy;
mod rig;

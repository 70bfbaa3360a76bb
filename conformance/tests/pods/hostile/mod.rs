//! A hostile pod: with frames of its own making, from a user namespace of its own, with misleading names and texts.
//! Where a defence can be switched off the test does so, and the same attack succeeds: so the test would detect a
//! missing defence.
//!
//! ```text
//!   node1
//!     ├── thief   sends hostile frames
//!     ├── victim  its addresses are forged
//!     └── target  receives the forged packets
//! ```

mod addresses;
mod frames;
mod links;
mod messages;
mod neighbours;
mod privacy;
mod rig;

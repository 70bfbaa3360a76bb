//! The lab itself: a LAN of nodes that leaves nothing behind, and that says so where the machine refuses it.

mod cleanup;
mod nodes;
mod refused;

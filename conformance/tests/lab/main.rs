//! The lab itself: a LAN of nodes that leaves nothing behind, and an error with a fix where the machine refuses it.

mod cleanup;
mod nodes;
mod patience;
mod refused;
mod settings;

//! Two builds of podlan on one node, as during an upgrade and a rollback: the packet filter stays closed from one agent to
//! the other, and each build's plugin works with the other's agent.
//!
//! The earlier build is in the directory that `PODLAN_OLD_BIN_DIR` names; without it the tests are skipped.

mod build;
mod filter;
mod mixed;

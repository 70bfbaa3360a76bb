//! Two builds of podlan on one node, as during an upgrade and a rollback: the packet filter stays closed from one agent to
//! the other, each build's plugin works with the other's agent, connections and host ports stay, and what a rollback leaves is
//! removed by the commands of docs/install.md.
//!
//! The earlier build is in the directory that `PODLAN_OLD_BIN_DIR` names (`scripts/test-upgrade` makes it); without it the
//! tests are skipped.

mod build;
mod filter;
mod host_ports;
mod leases;
mod left;
mod member;
mod mixed;
mod rolling;
mod runtime;
mod sockets;
mod traffic;
mod way_out;

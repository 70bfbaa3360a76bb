//! Several nodes on one machine, and tests of podlan there with the real binaries.
//!
//! Owns the lab, the traffic between its pods, and the demo. No other crate imports it: it calls podlan's binaries as a
//! container runtime does.

#![forbid(unsafe_code)]

pub mod agent;
pub mod cluster;
pub mod cost;
pub mod demo;
pub mod first_packets;
pub mod host_ports;
pub mod judge;
pub mod lab;
pub mod sent;
pub mod traffic;
pub mod ways;

//! Several nodes on one machine, and what is proved there with the real binaries.
//!
//! Owns the lab, the traffic that pods send each other, and the demo. Nothing imports it: it stands outside podlan and
//! calls the release binaries as a container runtime does.

#![forbid(unsafe_code)]

pub mod agent;
pub mod cluster;
pub mod cost;
pub mod demo;
pub mod first_packets;
pub mod lab;
pub mod sent;
pub mod traffic;
pub mod ways;

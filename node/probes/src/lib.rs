//! Path probes between the agents: whether packets of pods pass between this node and each other one, there and back, at which
//! size, and with their own source address.
//!
//! A probe leaves from an address of this node's own pod CIDR through a link pair of its own ([`endpoint`]), so that the node
//! forwards, filters and translates it as it does a pod's packet; it arrives at the peer in the same way. [`machine`] decides,
//! in virtual time, what is sent and what the answers mean; [`wire`] is what is sent. [`keep`] is the shell, a part of the
//! agent: sockets, clock and kernel.

pub mod endpoint;
mod examine;
mod keep;
pub mod machine;
mod sockets;
pub mod wire;

pub use keep::{Options, Probed, keep};

/// The UDP port of the probes, the same on every node.
pub const PORT: u16 = 10_111;

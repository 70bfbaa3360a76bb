//! The path of packets between two pods and back, hop by hop, as far as this node carries them: what the kernel answers
//! for such a packet, compared with what podlan wants. The pods are found first ([`endpoints`]); the hops are judged
//! from the facts alone ([`follow`]).

pub mod endpoints;
pub mod follow;
pub mod hop;
mod node;

#[cfg(test)]
mod tests;

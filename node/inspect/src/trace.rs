//! The way that packets take between two pods and back, hop by hop, as far as this node carries them: what the kernel
//! answers for such a packet, beside what podlan wants. Who the pods are is settled first ([`parties`]), facts are gathered
//! once ([`observe`]), and the hops are judged from them alone ([`follow`]).

pub mod follow;
pub mod hop;
mod node;
pub mod parties;

#[cfg(test)]
mod tests;

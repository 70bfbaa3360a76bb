//! The way that packets take between two pods and back, hop by hop, as far as this node carries them: what the kernel
//! answers for such a packet, beside what podlan wants. Who the pods are is settled first ([`endpoints`]), facts are gathered
//! once ([`observe`]), and the hops are judged from them alone ([`follow`]).

pub mod endpoints;
pub mod follow;
pub mod hop;
mod node;

#[cfg(test)]
mod tests;

//! What is wrong with this node, why it matters and how to fix it ([`doctor`]), each hop of a packet between two pods
//! ([`trace`]), and the agent's state compared with the kernel ([`status`]). All judge facts that were gathered before;
//! only [`doctor::fix`] changes anything.

pub mod doctor;
pub mod status;
mod table;
pub mod trace;

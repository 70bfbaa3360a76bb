//! What is wrong with this node, why it matters and how to fix it ([`doctor`]), each hop of a packet between two pods
//! ([`trace`]), the agent's state compared with the kernel ([`status`]), and the owners of the leases ([`leases`]). All judge facts that were gathered before;
//! only [`doctor::fix`] changes anything.

mod cure;
pub mod doctor;
pub mod leases;
pub mod status;
pub mod table;
pub mod trace;

//! What is wrong with this node, why it matters and how to fix it ([`doctor`]), and each hop of a packet between two
//! pods ([`trace`]). Both judge facts that `facts` gathered; only [`doctor::fix`] changes anything.

pub mod doctor;
pub mod trace;

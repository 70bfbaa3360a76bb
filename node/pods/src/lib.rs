//! What the agent does for the pods of its node, beside their routes: it takes back the leases of pods that ended
//! ([`leases`]), changes the MTU of living pods along with the node's ([`mtu`]), and keeps forwarding on while pods live
//! ([`forwarding`]). Each is a part of the agent; the doctor uses the same code for what it fixes.

pub mod forwarding;
pub mod leases;
pub mod mtu;

//! What the agent does for the pods of its node besides their routes: it takes back the leases of pods that ended
//! ([`leases`]), changes the MTU of running pods along with the node's ([`mtu`]), and keeps forwarding on while there
//! are pods ([`forwarding`]). Each is a part of the agent; the doctor uses the same code for what it fixes.

pub mod forwarding;
pub mod leases;
pub mod mtu;

//! Host ports: who reaches the pod by a port of its node, who is refused one, what kills, flushes and hostile pods do to
//! them, and what they cost a pod that has none.

mod cost;
mod flushed;
mod killed_anywhere;
mod loopback;
mod portmap;
mod reach;
mod rig;
mod sctp;
mod taken;
mod udp;

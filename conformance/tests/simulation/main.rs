//! The simulation of a cluster (crate `podlan-simulation`): its model of the kernel against the kernel of this machine, and some
//! thousand steps of it.

mod bounded;
mod kernel_model;

//! Kernels that lack a feature: podlan does what it can without it, and says what is missing and what is lost.

mod by_doctor;
mod inet_nat;
mod ipv6;
mod nat;
mod nf_tables;
mod nft_fib;
mod rig;
mod strict_checking;
mod veth;

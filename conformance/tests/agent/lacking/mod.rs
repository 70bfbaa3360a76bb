//! Kernels that lack a feature: podlan does what it can without it, and says what is missing and what is lost.

mod inet_nat;
mod rig;
mod strict_checking;

//! The commands of an operator: `podlan-node doctor`, `trace`, `leases`.

mod doctor;
mod leases;
mod trace;

//! The commands of an operator: `podlan-node doctor` and `podlan-node trace`.

mod doctor;
mod trace;

//! What an operator asks: `podlan-node doctor` and `podlan-node trace`.

mod doctor;
mod trace;

//! The commands of an operator: `podlan-node doctor`, `trace`, `leases`, `report`.

mod doctor;
mod first_minutes;
mod kubectl;
mod leases;
mod report;
mod trace;

//! From the nodes' answers to a report: a value, its text for people, its JSON. Pure.

pub(crate) mod doctor;
pub(crate) mod leases;
pub(crate) mod map;
pub(crate) mod paths;
pub(crate) mod problems;
pub(crate) mod segments;
pub(crate) mod smoke;
pub(crate) mod status;
pub(crate) mod trace;

#[cfg(test)]
mod recorded;

//! A cluster in one process. The agents' real state machines (core, sources, planner, guard, reconciler, probes, lease store) run
//! on simulated kernels, a simulated fabric and a simulated API server, in virtual time. One seed decides everything.
//!
//! docs/simulation.md says what is real, what is a model, which laws are checked, and what the simulation found.

pub mod agent;
pub mod api;
pub mod coverage;
pub mod drills;
pub mod fabric;
pub mod host;
pub mod kernel;
mod laws;
pub mod op;
mod operate;
pub mod oracle;
pub mod plant;
pub mod random;
mod rest;
pub mod run;
pub mod scale;
pub mod walk;
pub mod world;

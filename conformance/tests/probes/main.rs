//! Path probes between the agents: each fault of a path has its verdict, and a path that passes packets of pods has none.
//!
//! ```text
//!   node1 (agent, web) ──┬── node2 (agent, db)
//!                        ├── node3 (agent)
//!                       lan: a bridge, on which a test drops what it likes
//! ```

mod beside;
mod endpoint;
mod faults;
mod rig;

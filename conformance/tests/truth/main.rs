//! What podlan says is what packets do: a node is broken in one way, and `status`, `doctor`, the metrics, the log and the
//! alerts must name it; what works must be called wrong by none of them. Each row is a value of `rows` or `healthy`, and a
//! test of its own; docs/truth.md is the table of all rows.

#[macro_use]
mod row;

mod alerts;
mod cured;
mod healthy;
mod outcome;
mod prove;
mod registry;
#[macro_use]
mod rows;
mod special;
mod stage;
mod table;
mod told;

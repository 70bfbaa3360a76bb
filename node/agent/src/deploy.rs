//! Laws of what `deploy/` gives an operator: each argument in it is one of this program's, each metric one that it serves.
//! Tests only.

mod dashboards;
mod manifest;

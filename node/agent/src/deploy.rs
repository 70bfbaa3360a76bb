//! Tests of `deploy/`: each argument in it exists in this program, each metric is served by it. Tests only.

mod dashboards;
mod manifest;

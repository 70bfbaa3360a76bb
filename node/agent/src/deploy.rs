//! Tests of `deploy/`: each argument in it exists in this program, each metric is served by it, pages and completions are its own. Tests only.

mod dashboards;
mod manifest;
mod pages;

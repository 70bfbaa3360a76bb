//! What a release consists of, taken as an operator takes it: unpacked or installed on a fresh root file system, and used.
//!
//! The ordinary run makes a tarball and the chart, which need no program that is not here. scripts/test-packages makes the whole
//! release and a root file system, and runs all of them.

#![expect(clippy::unwrap_used, reason = "a broken fixture fails the test and shows its place")]

mod chart;
mod debian;
mod manifests;
mod release;
mod root;
mod rpm;
mod tarball;
mod workflow;

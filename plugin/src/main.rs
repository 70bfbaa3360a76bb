//! `podlan`, the CNI plugin: a veth pair into the pod's network namespace, and a cluster-unique address for it.
//! Decodes, dispatches, prints, exits; the verbs are in [`verbs`], what a pod's link looks like is in [`plan`].

#![forbid(unsafe_code)]

mod addressing;
mod agent;
mod apply;
mod assignment;
mod collected;
mod config;
mod delegate;
mod error;
mod host;
mod inputs;
mod namespaces;
mod observe;
mod plan;
mod ready;
mod result;
mod undo;
mod verbs;

use std::process::ExitCode;

use dlmalloc::GlobalDlmalloc;

/// One call is over before memory is worth giving back; the C library's maps and unmaps pages all the way.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

fn main() -> ExitCode {
    ipam::process::run(&verbs::Podlan)
}

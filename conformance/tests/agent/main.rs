//! The agent as a process: what it installs, serves and releases, with few privileges, with broken parts, and killed at
//! every system call.

mod broken_things;
mod cleanup_killed_anywhere;
mod conditions;
mod http;
mod install;
mod killed_anywhere;
mod lacking;
mod leases;
mod least_privilege;
mod log;
mod pod_mtu;
mod threads;

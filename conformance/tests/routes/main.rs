//! The agent's routes on a real kernel, where they lead, and beside a routing daemon; the netlink crate that sets them.

mod bird;
mod drain;
mod netlink;
mod next_hops;
mod pods_routes;
mod reconcile;

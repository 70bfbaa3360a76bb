//! The plugin: ADD, DEL, CHECK and GC of the real programs on the real kernel, what they leave, what they cost, and
//! calls that are killed, refused, paused or run concurrently.

mod adopted;
mod bad_input;
mod bounded_input;
mod churn;
mod conversions;
mod cost;
mod delegate_bounded;
mod first_packets;
mod harness;
mod inherited_mtu;
mod inherited_settings;
mod killed_anywhere;
mod leaves_nothing;
mod leftovers;
mod names_are_no_paths;
mod neighbours;
mod no_ipv6;
mod not_operational;
mod one_attachment;
mod parallel_adds;
mod second_attachment;
mod stands_still;

//! A pod's link as the plugin and the node agent both know it: whose it is ([`Identity`]), whether it is there
//! ([`HostLinks`]), and how what an attachment left is removed ([`removal`]). The plugin makes links, and the agent
//! decides when to look; neither is done here.

#![forbid(unsafe_code)]

mod error;
mod host_links;
mod identity;
mod netns;
pub mod removal;
mod second;

pub use error::Error;
pub use host_links::HostLinks;
pub use identity::{ALIAS, Identity};
pub use netns::{Error as NetnsError, Fault, Netns, errno_of, is_passing};
pub use second::{ANY_TABLE, second_table, source_rule};

//! The CNI protocol (spec 0.1.0 to 1.1.0) as pure data: environment, network config, results, errors, and [`serve`],
//! which puts them in order around a [`Plugin`].
//!
//! Refuses IO of its own: readers, writers and variables are given by the caller. It knows nothing of addresses being
//! leased or links being made.

#![forbid(unsafe_code)]

mod args;
mod attachment;
mod config;
mod dns;
mod env;
mod error;
mod fields;
mod mac;
mod network;
mod plugin;
mod result;
mod serve;
mod version;

pub use args::{Args, Pod};
pub use attachment::{Attachment, ContainerId, Ifname, NetworkName};
pub use config::{CniArgs, NetworkConfig, PortMapping, RuntimeConfig, Transport};
pub use dns::Dns;
pub use env::Verb;
pub use error::{Code, Error};
pub use fields::Fields;
pub use mac::{InvalidMac, MacAddress};
pub(crate) use network::canonical;
pub use network::{parse_address, parse_network};
pub use plugin::{Plugin, Request, Role};
pub use result::{AddResult, Interface, IpConfig, Route};
pub use serve::{STDIN_CAP, serve};
pub use version::SpecVersion;

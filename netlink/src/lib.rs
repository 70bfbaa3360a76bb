//! The few rtnetlink requests that podlan makes, as values, and the socket that sends them; and what the plugin and the
//! agent must do in the same way on a node: switch forwarding on, find the MTU that pods inherit. [`wire`] is the part that
//! other netlink families share.
//!
//! A request is a value ([`Request`]); a [`Socket`] sends many of them in one datagram and gives the kernel's verdict on
//! each. What a pod's link or a node's routes should be is not decided here: the plugin and the node agent plan that.
//! There is no runtime and no thread: the kernel has answered when `sendmsg` returns.

mod address;
mod advertised;
mod default_route;
mod family;
mod fib;
mod forwarding;
mod inherited_mtu;
mod kernel_part;
mod link;
mod link_rule;
mod link_state;
mod local_route;
mod monitor;
mod neighbour;
mod neighbour_table;
mod netconf;
mod netns;
mod nexthop;
mod procfs;
mod request;
mod route;
mod rule;
mod selection;
mod socket;
mod sysctl;
mod tolerant;
pub mod wire;

pub use address::Address;
pub use advertised::{Learned, Loss, lost_by_forwarding};
pub use default_route::default_route;
pub use family::Family;
pub use fib::{FibEntry, Onward};
pub use forwarding::{ForwardingError, ensure_forwarding, may_forward};
pub use inherited_mtu::{InheritedMtu, MTU, MtuOf, inherited_mtu};
pub use kernel_part::{makes_veth, selects};
pub use link::{Hardening, Link, NewVeth, Selector};
pub use link_rule::LinkRule;
pub use link_state::{Answered, LinkState};
pub use local_route::LocalRoute;
pub use monitor::{Event, Monitor};
pub use neighbour::{Hold, Known, Neighbour, Unanswered};
pub use neighbour_table::NeverGivenUp;
pub use netconf::{Switched, forwards, link_forwards};
pub use procfs::Procfs;
pub use request::Request;
pub use route::{Forwarded, Looked, Lookup, Route, RouteKind, Scope};
pub use rule::{PolicyRule, RuleAct, SourceRule};
pub use socket::{Error, Socket};
pub use sysctl::{LinkSettings, Sysctl, SysctlError, kernel_has_v6};
pub use wire::KernelError;

/// Route protocol number (`rtm_protocol`, rtnetlink(7)) of routes to pods on this node. The plugin makes them.
pub const POD_ROUTE: u8 = 112;

/// Route protocol number of routes to other nodes' pod subnets and of the own subnet's unreachable route. The agent makes them.
pub const NODE_ROUTE: u8 = 110;

/// Route protocol number of the routes and policy rules of the probe endpoint. The agent makes them.
pub const PROBE_ROUTE: u8 = 111;

/// What the name of every host end of ours starts with.
pub const HOST_LINK_PREFIX: &str = "podl";

/// The link by which probes leave and reach a node. It has the prefix, so that what other programs' rules and podlan's own do
/// to packets of pods they do to probes; it is shorter than every pod link's name.
pub const PROBE_LINK: &str = "podlprobe";

/// Whether this is the name of a host end of a pod's link.
pub fn is_pod_link(name: &str) -> bool {
    name.starts_with(HOST_LINK_PREFIX) && name != PROBE_LINK
}

//! Everything that the checks judge, as values. A fact that could not be observed is an error with the reason.

pub mod attached;
pub mod decisions;
pub mod legs;
pub mod machine;
pub mod observe;
pub mod parts;
mod rooms;
mod subnets;

use std::net::IpAddr;
use std::sync::Arc;

use ipam::{Lease, Presence, Stamp};
use ipnetwork::IpNetwork;
use netlink::{Family, InheritedMtu, Link, Loss, Route, Unanswered};

use attached::Attached;
use decisions::Decisions;
use filter::forward;
use filter::translation::Translation;
pub use install::conflist::directory::Configuration;
use machine::{Holder, Loopback, Space};
use parts::{Part, Parts};
use pods::forwarding;
pub use rooms::Room;
use routes::here::Here;
use state::{State, VerdictLine};
pub use subnets::Subnets;

/// A fact, or why it could not be observed.
pub type Seen<T> = Result<T, String>;

/// The facts of this node.
#[derive(Debug)]
pub struct Facts {
    /// The agent's last report; `None` where there is no agent.
    pub agent: Seen<Option<AgentSaid>>,
    /// Links, addresses and routes.
    pub kernel: Seen<Kernel>,
    /// Settings of the kernel.
    pub settings: Settings,
    /// What the kernel is asked for, part by part.
    pub parts: Parts,
    /// The agent's packet filter rules that are always wanted, each with whether it is in place.
    pub packet_filter: Seen<Vec<(&'static str, bool)>>,
    /// What rules of other programs drop between pods; `None` where the pod CIDRs are unknown for lack of an agent.
    pub forward: Seen<Option<Vec<forward::ForwardDrop>>>,
    /// What gives packets between pods other addresses; `None` where the pod CIDRs are unknown for lack of an agent.
    pub translated: Seen<Option<Vec<Translation>>>,
    /// What the kernel decides on packets between pods; `None` where the pod CIDRs are unknown for lack of an agent.
    pub decisions: Seen<Option<Decisions>>,
    /// The pods of all leases.
    pub pods: Seen<Vec<Attached>>,
    /// The room in the file systems of the run directory and of the stores.
    pub space: Seen<Vec<Space>>,
    /// Who has held a store's lock for a while.
    pub holders: Vec<Holder>,
    /// containerd's need of the plugin `loopback`.
    pub loopback: Option<Loopback>,
    /// Whether the runtime's configuration directory exists.
    pub has_conf_dir: bool,
    /// The files of the runtime's configuration directory.
    pub configurations: Seen<Vec<Configuration>>,
    /// The plugins that our configurations name.
    pub plugins: Seen<Vec<Plugin>>,
    /// The leases of this node.
    pub leases: Seen<Leases>,
}

/// The agent's last report.
#[derive(Debug)]
pub struct AgentSaid {
    /// `node.json`
    pub state: State,
    /// Whether it is stale.
    pub stale: bool,
    /// Whether it is not ready because it has just started.
    pub starting: bool,
    /// Whether nothing holds the agent's lock: it has ended, however fresh its report is.
    pub gone: bool,
    /// `verdicts.json`
    pub verdicts: Arc<Vec<VerdictLine>>,
}

/// What route netlink reports.
#[derive(Debug, Default)]
pub struct Kernel {
    /// All links.
    pub links: Vec<Link>,
    /// This node as the route planner sees it.
    pub here: Here,
    /// The routes of the main table.
    pub routes: Vec<Route>,
    /// The MTU that pods inherit where none is configured.
    pub inherited_mtu: InheritedMtu,
    /// Addresses of pods on this node, each with the source address of the node's packets to it.
    pub sources: Vec<(IpAddr, Option<IpAddr>)>,
    /// Neighbours that were asked for and do not answer.
    pub unanswered: Vec<Unanswered>,
}

impl Kernel {
    /// A link's name; `ifN`, as `ip` prints it, where it is not known.
    pub fn link_name(&self, index: u32) -> String {
        let known = self.links.iter().find(|link| link.index == index);
        known.map_or_else(|| format!("if{index}"), |link| link.name.clone())
    }

    /// A route as `ip route` shows it, with its protocol.
    pub fn shown(&self, route: &Route) -> String {
        let protocol = routes::protocol::name(route.protocol);
        format!("{} proto {protocol}", route.shown(|index| Some(self.link_name(index))))
    }
}

/// Settings below /proc/sys/net; `None` where the kernel has none of that name.
#[derive(Debug)]
pub struct Settings {
    /// What the kernel forwards: IPv4 and IPv6.
    pub forwarding: [Seen<forwarding::Observed>; 2],
    /// What the node learned from router advertisements and would lose by forwarding.
    pub losses: Seen<Vec<Loss>>,
    /// Whether the kernel has IPv6 at all.
    pub kernel_has_v6: bool,
    /// `conf.all.disable_ipv6`.
    pub disable_v6: Seen<Option<String>>,
    /// `conf.all.rp_filter`, and each pod link's.
    pub rp_filter_all: Seen<Option<String>>,
    /// `rp_filter` of each pod link, by the link's name.
    pub rp_filter: Seen<Vec<(String, String)>>,
    /// The two families' `neigh.default.gc_thresh3`.
    pub neighbours: [Seen<Option<String>>; 2],
}

/// A plugin's binary in the runtime's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name in configurations.
    pub name: String,
    /// Where the runtime finds it.
    pub path: String,
    /// What is there.
    pub file: PluginFile,
}

/// How that binary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginFile {
    /// There is no such file.
    Missing,
    /// The file cannot be executed.
    NotExecutable,
    /// It exists; for a plugin of podlan's, whether it is of this program's version, where that is known.
    Present {
        /// `None`: it is not podlan's, or the two could not be compared.
        same: Option<bool>,
    },
}

/// The leases of all networks, each with whether its owner is there.
#[derive(Debug)]
pub struct Leases {
    /// When they were read.
    pub now: Stamp,
    /// Network, lease, and whether the owner is there.
    pub all: Vec<(String, Lease, Presence)>,
    /// Stores that could not be read, each with the error.
    pub unreadable: Vec<String>,
}

impl Facts {
    /// The agent's report, where there is one.
    pub fn said(&self) -> Seen<Option<&AgentSaid>> {
        self.agent.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// Links, addresses and routes.
    pub fn kernel(&self) -> Seen<&Kernel> {
        self.kernel.as_ref().map_err(Clone::clone)
    }

    /// The files of the runtime's configuration directory.
    pub fn configurations(&self) -> Seen<&[Configuration]> {
        self.configurations.as_deref().map_err(Clone::clone)
    }

    /// The pods of all leases.
    pub fn pods(&self) -> Seen<&[Attached]> {
        self.pods.as_deref().map_err(Clone::clone)
    }

    /// The leases of this node.
    pub fn leases(&self) -> Seen<&Leases> {
        self.leases.as_ref().map_err(Clone::clone)
    }

    /// What is not forwarded of a family, provided that pods need it.
    pub fn not_forwarding(&self, family: Family) -> Seen<Option<forwarding::Off>> {
        let seen = self.settings.forwarding[family.index()].clone()?;
        match forwarding::judge(family, forwarding::Observed { pods: true, ..seen }) {
            forwarding::ForwardingState::Off(off) => Ok(Some(off)),
            forwarding::ForwardingState::On | forwarding::ForwardingState::Moot => Ok(None),
        }
    }

    /// Whether the kernel is known to lack a part.
    pub fn lacks(&self, part: Part) -> bool {
        self.parts.contains(&(part, Ok(false)))
    }

    /// This node's own pod CIDRs, as the agent reports them.
    pub fn own_cidrs(&self) -> Vec<IpNetwork> {
        let said = self.said().ok().flatten();
        said.into_iter().flat_map(|said| &said.state.pod_cidrs).filter_map(|cidr| cidr.parse().ok()).collect()
    }

    /// Whether pods of this node have addresses of a family, or will have.
    pub fn pods_have(&self, family: Family) -> bool {
        let pools = self.configurations.iter().flatten().flat_map(Configuration::pools);
        let leased = self.leases.iter().flat_map(|leases| &leases.all).map(|(_, lease, _)| lease.address);
        let subnets = pools.map(|pool| pool.subnet).chain(leased).chain(self.own_cidrs());
        subnets.into_iter().any(|subnet| family.holds(subnet.ip()))
    }
}

impl AgentSaid {
    /// The pod CIDRs of the other nodes, with their names.
    pub fn others(&self) -> impl Iterator<Item = (&str, IpNetwork)> + Clone {
        let peers = self.verdicts.iter().filter(|line| line.node != self.state.node);
        peers.filter_map(|line| Some((line.node.as_str(), line.cidr.parse().ok()?)))
    }
}

//! Everything that the checks judge, as values. What could not be looked at says why.

use std::net::IpAddr;

use ipam::{Lease, Presence, Stamp};
use ipnetwork::IpNetwork;
use netlink::{InheritedMtu, Link, Loss, Route};
use serde_json::{Map, Value};

use crate::conflist;
use crate::forwarding;
use crate::packet_filter::forward;
use crate::routes::here::Here;
use crate::state::{State, VerdictLine};

/// What was looked for, or why it could not be seen.
pub(crate) type Seen<T> = Result<T, String>;

/// The facts of this node.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) agent: Seen<Option<AgentSaid>>,
    pub(crate) kernel: Seen<Kernel>,
    pub(crate) settings: Settings,
    /// The agent's packet filter rules that always stand, each with whether it does.
    pub(crate) packet_filter: Seen<Vec<(&'static str, bool)>>,
    /// What rules of others drop between pods; `None` where no agent knows the pod CIDRs.
    pub(crate) forward: Seen<Option<Vec<forward::Finding>>>,
    pub(crate) configurations: Seen<Vec<Configuration>>,
    /// The plugins that our configurations name.
    pub(crate) plugins: Seen<Vec<Plugin>>,
    pub(crate) leases: Seen<Leases>,
}

/// What the agent last said.
#[derive(Debug)]
pub(crate) struct AgentSaid {
    pub(crate) state: State,
    pub(crate) stale: bool,
    pub(crate) verdicts: Vec<VerdictLine>,
}

/// What route netlink said.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) links: Vec<Link>,
    pub(crate) here: Here,
    /// Those of the main table.
    pub(crate) routes: Vec<Route>,
    /// The MTU that pods inherit where none is configured.
    pub(crate) inherited_mtu: InheritedMtu,
    /// Addresses of pods on this node, each with the source address that the node would send to it from.
    pub(crate) sources: Vec<(IpAddr, Option<IpAddr>)>,
}

/// Settings below /proc/sys/net; `None` where the kernel has none of that name.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the kernel forwards: IPv4 and IPv6.
    pub(crate) forwarding: [Seen<forwarding::Seen>; 2],
    /// What the node has by router advertisements and loses by forwarding.
    pub(crate) losses: Seen<Vec<Loss>>,
    pub(crate) kernel_has_v6: bool,
    /// `conf.all.disable_ipv6`.
    pub(crate) disable_v6: Seen<Option<String>>,
    /// `conf.all.rp_filter`, and each pod link's.
    pub(crate) rp_filter_all: Seen<Option<String>>,
    pub(crate) rp_filter: Seen<Vec<(String, String)>>,
    /// The two families' `neigh.default.gc_thresh3`.
    pub(crate) neighbours: [Seen<Option<String>>; 2],
}

/// A file in the runtime's configuration directory, in the runtime's order.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) file: String,
    pub(crate) text: String,
    /// `None` when it is no JSON.
    pub(crate) json: Option<Value>,
    /// Why it cannot be read.
    pub(crate) unread: Option<String>,
}

/// A plugin's binary in the runtime's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) file: PluginFile,
}

/// How that binary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PluginFile {
    Missing,
    NotExecutable,
    /// It is there; of ours, whether it is the one that this program came with, where that can be said.
    Present {
        same: Option<bool>,
    },
}

/// The leases of all networks, each with whether its owner is there.
#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) now: Stamp,
    pub(crate) all: Vec<(String, Lease, Presence)>,
    /// Stores that could not be read, each with the error.
    pub(crate) unreadable: Vec<String>,
}

impl Configuration {
    pub(crate) fn new(file: String, text: String) -> Self {
        let json = serde_json::from_str(&text).ok();
        Self { file, text, json, unread: None }
    }

    /// One that cannot be read, and why.
    pub(crate) fn unread(file: String, why: String) -> Self {
        Self { unread: Some(why), ..Self::new(file, String::new()) }
    }

    pub(crate) fn plugins(&self) -> Vec<&Map<String, Value>> {
        self.json.as_ref().map(conflist::plugins).unwrap_or_default()
    }

    /// The plugin `podlan` in it, if it is there.
    pub(crate) fn podlan(&self) -> Option<&Map<String, Value>> {
        self.plugins().into_iter().find(|plugin| plugin.get("type").is_some_and(|kind| kind == "podlan"))
    }

    pub(crate) fn network(&self) -> &str {
        self.json.as_ref().and_then(|json| json["name"].as_str()).unwrap_or_default()
    }
}

impl Facts {
    /// What the agent said, where it said something.
    pub(crate) fn said(&self) -> Seen<Option<&AgentSaid>> {
        self.agent.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    pub(crate) fn kernel(&self) -> Seen<&Kernel> {
        self.kernel.as_ref().map_err(Clone::clone)
    }

    pub(crate) fn configurations(&self) -> Seen<&[Configuration]> {
        self.configurations.as_deref().map_err(Clone::clone)
    }

    pub(crate) fn leases(&self) -> Seen<&Leases> {
        self.leases.as_ref().map_err(Clone::clone)
    }

    /// What does not forward of a family, if its pods are forwarded at all.
    pub(crate) fn not_forwarding(&self, v6: bool) -> Seen<Option<forwarding::Off>> {
        let seen = self.settings.forwarding[usize::from(v6)].clone()?;
        match forwarding::judge(v6, forwarding::Seen { pods: true, ..seen }) {
            forwarding::Standing::Off(off) => Ok(Some(off)),
            forwarding::Standing::On | forwarding::Standing::Moot => Ok(None),
        }
    }

    /// This node's own pod CIDRs, as the agent knows them.
    pub(crate) fn own_cidrs(&self) -> Vec<IpNetwork> {
        let said = self.said().ok().flatten();
        said.into_iter().flat_map(|said| &said.state.pod_cidrs).filter_map(|cidr| cidr.parse().ok()).collect()
    }

    /// Whether pods of this node have addresses of a family, or will have.
    pub(crate) fn pods_have(&self, v6: bool) -> bool {
        let pools = self.configurations.iter().flatten().flat_map(|file| conflist::pools(&file.file, &file.text));
        let leased = self.leases.iter().flat_map(|leases| &leases.all).map(|(_, lease, _)| lease.address);
        let subnets = pools.map(|pool| pool.subnet).chain(leased).chain(self.own_cidrs());
        subnets.into_iter().any(|subnet| subnet.is_ipv6() == v6)
    }
}

impl AgentSaid {
    /// The pod CIDRs of the other nodes, with their names.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&str, IpNetwork)> + Clone {
        let peers = self.verdicts.iter().filter(|line| line.node != self.state.node);
        peers.filter_map(|line| Some((line.node.as_str(), line.cidr.parse().ok()?)))
    }
}

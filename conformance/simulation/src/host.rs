//! A machine: its kernel, its run directory, its pods and their leases, and the agent that runs on it, if one does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use cni::{Attachment, ContainerId, Ifname};
use filter::Sides;
use ipam::on::Request;
use ipam::{BootId, Lease, Liveness, Presence, Proof, Range, RangeSet, Require, Stamp, Want};
use ipnetwork::IpNetwork;
use netlink::{Address, POD_ROUTE, Route, Scope};
use state::State;
use store::testing::Memory;

use crate::agent::Agent;
use crate::fabric::Fabric;
use crate::kernel::Kernel;
use crate::world::{Config, Time};

/// The name of the pods' network.
pub const NETWORK: &str = "podnet";

/// How long an address rests before it is given again.
pub const COOLDOWN: Time = 120_000_000;

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its link's index.
    pub link: u32,
}

/// What is left of an agent in its run directory.
#[derive(Clone, Debug, Default)]
pub struct RunDir {
    /// `node.json`
    pub state: Option<State>,
    /// `kept.json`
    pub nodes: Option<Vec<u8>>,
}

/// A machine.
pub struct Host {
    /// Its place among the machines.
    pub id: usize,
    /// Its kernel.
    pub kernel: Kernel,
    /// The segment that its uplink is in.
    pub segment: usize,
    /// Its number in the segment.
    pub number: u32,
    /// The uplink's index.
    pub uplink: u32,
    /// Whether it has IPv6 addresses.
    pub dual: bool,
    /// Whether its addresses have no subnet.
    pub narrow: bool,
    /// The name of its node.
    pub name: String,
    /// The names that its node has had since it booted.
    pub names: BTreeSet<String>,
    /// Whether it has power.
    pub is_on: bool,
    /// How often it booted.
    pub boot: u64,
    /// When it booted.
    pub booted: Time,
    /// By how much its wall clock is wrong, seconds.
    pub skew: i64,
    /// What its agent filed.
    pub run_dir: RunDir,
    /// The CIDRs of the conflist.
    pub conflist: Option<Vec<IpNetwork>>,
    /// Its pods by number.
    pub pods: BTreeMap<u32, Pod>,
    /// The lease store.
    pub store: Memory,
    /// When addresses were given back.
    pub released: BTreeMap<IpAddr, Time>,
    /// The masquerade sets in its packet filter.
    pub sides: Option<Sides>,
    /// The agent, while it runs.
    pub agent: Option<Box<Agent>>,
    /// Which agent it is.
    pub incarnation: u64,
    /// The next events of the kernel are lost.
    pub loses_events: bool,
    /// Its parts take so many times as long.
    pub slow: u64,
    /// The packet filter answers only from then on.
    pub filter_stuck: Time,
    /// Numbers the messages of each kind.
    pub counts: [u64; 32],
    next_pod: u32,
}

/// Why there is no new pod.
#[derive(Debug)]
pub enum Refused {
    /// The node does not take pods (yet).
    NotReady,
    /// The IPAM has none to give.
    Ipam(ipam::Error),
    /// A law is broken; in words.
    Broken(String),
}

impl Host {
    /// A machine that is switched off.
    pub fn new(id: usize, segment: usize, number: u32, config: Config, name: String) -> Self {
        Self {
            id,
            kernel: Kernel::default(),
            segment,
            number,
            uplink: 0,
            dual: config.dual,
            narrow: config.narrow,
            name,
            names: BTreeSet::new(),
            is_on: false,
            boot: 0,
            booted: 0,
            skew: 0,
            run_dir: RunDir::default(),
            conflist: None,
            pods: BTreeMap::new(),
            store: Memory::default(),
            released: BTreeMap::new(),
            sides: None,
            agent: None,
            incarnation: 0,
            loses_events: false,
            slow: 1,
            filter_stuck: 0,
            counts: [0; 32],
            next_pod: 0,
        }
    }

    /// Its addresses, IPv4 first.
    pub fn own_addresses(&self) -> Vec<IpNetwork> {
        let families: &[bool] = if self.dual { &[true, false] } else { &[true] };
        let address = |v4: &bool| {
            let wide = Fabric::address(self.segment, self.number, *v4);
            if self.narrow { IpNetwork::from(wide.ip()) } else { wide }
        };
        families.iter().map(address).collect()
    }

    /// Switches it on: the network is configured, nothing is left of what was in memory.
    pub fn boot(&mut self, now: Time, keeps_store: bool) {
        self.kernel = Kernel::default();
        self.uplink = self.kernel.add_link("eth0", 1500);
        (self.is_on, self.boot, self.booted) = (true, self.boot + 1, now);
        self.run_dir = RunDir::default();
        self.sides = None;
        self.agent = None;
        self.incarnation += 1;
        self.pods.clear();
        self.names.clear();
        self.loses_events = false;
        if !keeps_store {
            self.store = Memory::default();
            self.released.clear();
        }
        self.configure();
        self.kernel.events.clear();
    }

    /// Adds the uplink's addresses and the default routes, as the system's network configuration does.
    pub fn configure(&mut self) {
        for address in self.own_addresses() {
            self.kernel.add_address(Address { address, device: self.uplink, link_scope: false });
            let v4 = address.is_ipv4();
            if self.narrow {
                let router = Route {
                    device: Some(self.uplink),
                    metric: if v4 { 0 } else { 1024 },
                    scope: if v4 { Scope::Link } else { Scope::Global },
                    ..Route::to(IpNetwork::from(Fabric::router(self.segment, v4)), 16)
                };
                let _ = self.kernel.add_route(router);
            }
            let all = if v4 { "0.0.0.0/0" } else { "::/0" };
            if let Ok(all) = all.parse() {
                let route = Route {
                    gateway: Some(Fabric::router(self.segment, v4)),
                    device: Some(self.uplink),
                    metric: if v4 { 0 } else { 1024 },
                    ..Route::to(all, 16)
                };
                // It is there already where only an address came back.
                let _ = self.kernel.add_route(route);
            }
        }
    }

    /// The power goes.
    pub fn power_off(&mut self) {
        (self.is_on, self.agent) = (false, None);
        self.incarnation += 1;
        self.pods.clear();
        self.kernel = Kernel::default();
    }

    fn stamp(&self, now: Time) -> Stamp {
        Stamp { boot: BootId(self.boot), millis: (now - self.booted) / 1000 + 1 }
    }

    /// What the plugin does for ADD; `living` are the addresses of all living pods of the cluster.
    pub fn add_pod(&mut self, now: Time, living: &BTreeMap<IpAddr, usize>) -> Result<u32, Refused> {
        let is_routed = self.run_dir.state.as_ref().is_some_and(|state| state.routed);
        let pools = self.conflist.clone().filter(|pools| is_routed && !pools.is_empty()).ok_or(Refused::NotReady)?;
        let number = self.next_pod;
        self.next_pod += 1;
        let owner = attachment(number).ok_or(Refused::NotReady)?;
        let set = |cidr: &IpNetwork| {
            Range::new(*cidr, None, None, None).ok().and_then(|range| RangeSet::new(vec![range]).ok())
        };
        let sets: Vec<RangeSet> = pools.iter().filter_map(set).collect();
        let cooldown = std::time::Duration::from_micros(COOLDOWN);
        let want = Want::new(&sets, &[], cooldown, Require::Both).map_err(Refused::Ipam)?;
        let link_name = format!("podl{number:08x}");
        let proof = Proof {
            host_link: Some(link_name.clone()),
            netns: PathBuf::from(format!("/var/run/netns/p{number}")),
            netns_id: Some((4, u64::from(number) + 1)),
            pod: None,
        };
        let alive: BTreeSet<String> =
            self.pods.keys().filter_map(|pod| attachment(*pod)).map(|owner| owner.container_id.to_string()).collect();
        let request = Request { want: &want, owner: &owner, proof: &proof, network: NETWORK, now: self.stamp(now) };
        let leases = request.give(&self.store, &Alive(alive)).map_err(Refused::Ipam)?;
        let addresses: Vec<IpAddr> = leases.iter().map(|lease| lease.address.ip()).collect();
        for (address, cidr) in addresses.iter().zip(&pools) {
            self.check_lease(*address, *cidr, now, living)?;
        }
        let link = self.kernel.add_link(&link_name, 1500);
        for address in &addresses {
            let route = Route { device: Some(link), ..Route::to(IpNetwork::from(*address), POD_ROUTE) };
            drop(self.kernel.replace_route(route));
        }
        self.pods.insert(number, Pod { addresses, link });
        Ok(number)
    }

    fn check_lease(
        &self,
        address: IpAddr,
        cidr: IpNetwork,
        now: Time,
        living: &BTreeMap<IpAddr, usize>,
    ) -> Result<(), Refused> {
        if let Some(other) = living.get(&address) {
            return Err(Refused::Broken(format!(
                "{address} is given to a pod of machine {} while a pod of machine {other} has it",
                self.id
            )));
        }
        if !cidr.contains(address) || address == cidr.network() || cidr.is_ipv4() && address == cidr.broadcast() {
            return Err(Refused::Broken(format!(
                "{address} is given from the pool {cidr}, which does not have it to give"
            )));
        }
        if ipam::probe_address(&cidr) == Some(address) {
            return Err(Refused::Broken(format!("{address} is given to a pod, and is the probe address of {cidr}")));
        }
        let rested = self.released.get(&address).is_none_or(|released| released + COOLDOWN <= now);
        let in_use = self.released.keys().filter(|other| cidr.contains(**other)).count() + self.pods.len();
        if !rested && in_use < 200 {
            return Err(Refused::Broken(format!(
                "{address} is given again before its cooldown is over, though {cidr} has others"
            )));
        }
        Ok(())
    }

    /// What the plugin does for DEL.
    pub fn remove_pod(&mut self, number: u32, now: Time) -> bool {
        let Some(pod) = self.pods.remove(&number) else { return false };
        self.kernel.remove_link(pod.link);
        if let Some(owner) = attachment(number) {
            drop(ipam::on::release(&self.store, &owner, self.stamp(now)));
        }
        self.released.extend(pod.addresses.iter().map(|address| (*address, now)));
        true
    }

    /// The addresses that are leased.
    pub fn leased(&self) -> Vec<IpAddr> {
        self.pods.values().flat_map(|pod| pod.addresses.iter().copied()).collect()
    }

    /// The pod that has an address.
    pub fn has_pod(&self, address: IpAddr) -> bool {
        self.pods.values().any(|pod| pod.addresses.contains(&address))
    }
}

fn attachment(number: u32) -> Option<Attachment> {
    Some(Attachment {
        container_id: ContainerId::parse(&format!("c{number}")).ok()?,
        ifname: Ifname::parse("eth0").ok()?,
    })
}

/// The container ids of the pods that live.
struct Alive(BTreeSet<String>);

impl Liveness for Alive {
    fn host_link(&self, lease: &Lease) -> Presence {
        if self.0.contains(&lease.owner.container_id.to_string()) { Presence::Present } else { Presence::Gone }
    }

    fn netns(&self, proof: &Proof, _same_boot: bool) -> Presence {
        let name = proof.netns.file_name().map(|name| name.to_string_lossy().replace('p', "c"));
        if name.is_some_and(|name| self.0.contains(&name)) { Presence::Present } else { Presence::Gone }
    }
}

//! A packet from one machine to another, through the models of the kernels and the fabric.

use std::net::IpAddr;

use netlink::{NODE_ROUTE, RouteKind};

use crate::fabric::Fabric;
use crate::kernel::LOCAL;
use crate::world::World;

/// The most machines that a packet passes.
const HOPS: usize = 8;

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// At which machine.
    pub host: usize,
    /// With which source address.
    pub source: IpAddr,
    /// At the machine's own address, and not at a pod's or the probes'.
    pub is_node: bool,
}

/// Where a packet ended that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The machine has no route, or one that leads nowhere.
    NoRoute(usize),
    /// The machine's route is no route of podlan's, and leads to where the packet does not belong.
    Foreign(usize),
    /// Nobody in the segment has the next hop's address.
    NoNeighbour(usize),
    /// A link is down, or has no carrier.
    Link(usize),
    /// The fabric lost it on the way from one machine to another.
    Fabric(usize, usize),
    /// The router does not know the pod.
    Router,
    /// It went in circles.
    Circle,
}

impl World {
    /// Sends a packet that starts at a machine, or at a pod of it.
    pub fn walk(&self, from: usize, source: IpAddr, to: IpAddr) -> Result<Arrival, Lost> {
        let (mut at, mut source) = (from, source);
        let starts_at_node = self.hosts[from].kernel.has_address(source);
        for hop in 0..HOPS {
            let host = &self.hosts[at];
            if host.kernel.has_address(to) {
                return Ok(Arrival { host: at, source, is_node: true });
            }
            if host.has_pod(to) || hop > 0 && self.is_probe_address(at, to) {
                return Ok(Arrival { host: at, source, is_node: false });
            }
            let route = host.kernel.lookup(to).map_err(|_| Lost::NoRoute(at))?;
            if route.kind != RouteKind::Unicast || route.table == LOCAL {
                return Err(Lost::NoRoute(at));
            }
            let foreign = route.protocol != NODE_ROUTE;
            let Some(device) = route.device else { return Err(Lost::NoRoute(at)) };
            if device != host.uplink {
                return Err(if foreign { Lost::Foreign(at) } else { Lost::Link(at) });
            }
            if !host.kernel.links.get(&device).is_some_and(|link| link.up && link.carrier) {
                return Err(Lost::Link(at));
            }
            let via = route.gateway.unwrap_or(to);
            // What leaves the node for somewhere outside of the cluster gets the node's address.
            if hop == 0
                && !starts_at_node
                && let Some(sides) = &host.sides
                && !sides.is_inside(to.into())
                && let Some(own) =
                    host.own_addresses().iter().map(|own| own.ip()).find(|own| own.is_ipv4() == to.is_ipv4())
            {
                source = own;
            }
            let next = if via == Fabric::router(host.segment, to.is_ipv4()) {
                self.beyond_router(to).ok_or(Lost::Router)?
            } else {
                let segment = host.segment;
                self.neighbour(segment, via).ok_or(if foreign { Lost::Foreign(at) } else { Lost::NoNeighbour(at) })?
            };
            let loss = self.fabric.loss(at, next);
            let has_pod_address = !starts_at_node || !self.hosts[next].kernel.has_address(to);
            let is_lost = if has_pod_address { loss.pods } else { loss.nodes };
            if is_lost {
                return Err(Lost::Fabric(at, next));
            }
            at = next;
        }
        Err(Lost::Circle)
    }

    /// The machine of a segment that answers for an address.
    pub fn neighbour(&self, segment: usize, address: IpAddr) -> Option<usize> {
        let number = match (address, Fabric::subnets(segment)[usize::from(!address.is_ipv4())].network()) {
            (IpAddr::V4(v4), IpAddr::V4(subnet)) => u128::from(v4.to_bits().checked_sub(subnet.to_bits())?),
            (IpAddr::V6(v6), IpAddr::V6(subnet)) => v6.to_bits().checked_sub(subnet.to_bits())?,
            _ => return None,
        };
        let number = u32::try_from(number).ok()?;
        let answers = |host: &&crate::host::Host| {
            host.is_on
                && host.segment == segment
                && host.number == number
                && host.kernel.has_address(address)
                && host.kernel.links.get(&host.uplink).is_some_and(|link| link.up && link.carrier)
        };
        self.hosts.iter().find(answers).map(|host| host.id)
    }

    /// The machine to which the routers send a packet.
    fn beyond_router(&self, to: IpAddr) -> Option<usize> {
        let owner = (0..self.fabric.segments).find_map(|segment| self.neighbour(segment, to));
        let by_pods = || {
            let has =
                |object: &&std::rc::Rc<crate::api::Object>| object.valid_cidrs().iter().any(|cidr| cidr.contains(to));
            let object = self.api.objects.values().find(has)?;
            let own = object.valid_addresses().into_iter().find(|address| address.is_ipv4() == to.is_ipv4())?;
            (0..self.fabric.segments).find_map(|segment| self.neighbour(segment, own))
        };
        owner.or_else(|| if self.fabric.knows_pods { by_pods() } else { None })
    }

    fn is_probe_address(&self, host: usize, address: IpAddr) -> bool {
        let agent = self.hosts[host].agent.as_ref();
        let peers = agent.filter(|agent| agent.probes.is_some()).and_then(|agent| agent.peers.as_ref());
        peers.is_some_and(|peers| peers.own.contains(&probes::machine::OwnAddress::At(address)))
    }
}

//! A large cluster as seen from one node: a list of peers that need not exist, all of them neighbours on the LAN.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use crate::lab::{Error, Lab, Node, eventually};

/// The most peers that have a pod CIDR and an address of their own.
pub const MOST: u32 = 16_384;

/// The subnet of all peers' IPv4 addresses; the node needs an address of it too.
pub const NEIGHBOURS: &str = "172.31.200.1/16";

/// One peer: its IPv4 pod CIDR and its node address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    number: u32,
    /// Its address on the LAN.
    pub address: Ipv4Addr,
}

impl Peer {
    /// Peer `number`, below [`MOST`].
    #[must_use]
    pub fn new(number: u32) -> Self {
        let [.., high, low] = [1 + number / 250, 1 + number % 250].map(|part| part.to_le_bytes()[0]);
        Self { number, address: Ipv4Addr::new(172, 31, high, low) }
    }

    /// The same peer after it has moved to another address.
    #[must_use]
    pub fn moved_to(self, address: Ipv4Addr) -> Self {
        Self { address, ..self }
    }

    /// 100.64.0.0/28, 100.64.0.16/28, …
    #[must_use]
    pub fn pod_cidr(&self) -> IpNetwork {
        let address = Ipv4Addr::from_bits(0x6440_0000 + self.number * 16);
        IpNetwork::new(address.into(), 28).unwrap_or_else(|_| IpNetwork::from(std::net::IpAddr::from(address)))
    }

    /// The peer as an item of a Kubernetes NodeList, with an IPv6 pod CIDR and address too where `v6`.
    #[must_use]
    pub fn as_kubernetes(&self, v6: bool) -> Value {
        let mut cidrs = vec![self.pod_cidr().to_string()];
        let mut addresses = vec![json!({ "type": "InternalIP", "address": self.address.to_string() })];
        if v6 {
            cidrs.push(format!("fd00:11:{:x}::/64", self.number));
            addresses.push(json!({ "type": "InternalIP", "address": format!("fd31::1:{:x}", self.number) }));
        }
        json!({ "metadata": { "name": format!("peer-{:05}.cluster.example.org", self.number) },
                "spec": { "podCIDRs": cidrs }, "status": { "addresses": addresses } })
    }
}

/// The first `count` peers beside `node`, as items of a NodeList.
#[must_use]
pub fn items(node: &Node, count: u32, v6: bool) -> Vec<Value> {
    std::iter::once(node.as_kubernetes()).chain((0..count).map(|number| Peer::new(number).as_kubernetes(v6))).collect()
}

/// Writes the items as the list that the agents watch.
///
/// # Errors
/// As [`Lab::write_nodes`].
pub fn list(lab: &Lab, items: &[Value]) -> Result<(), Error> {
    lab.write_nodes(&node_list(items))
}

/// The text of a Kubernetes NodeList.
#[must_use]
pub fn node_list(items: &[Value]) -> String {
    json!({ "kind": "NodeList", "items": items }).to_string()
}

/// Waits until the agent reports `routes` desired routes, all of them in the kernel.
///
/// # Errors
/// [`Error::Never`] past the deadline, with the agent's report.
pub fn wait_for_routes(node: &Node, routes: u64) -> Result<(), Error> {
    eventually(Duration::from_secs(60), "all routes are in", || {
        let text = fs::read_to_string(node.path("/run/podlan/node.json")).map_err(|error| error.to_string())?;
        let status: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let sum =
            |what: &str| ["v4", "v6"].iter().map(|family| status[family][what].as_u64().unwrap_or(0)).sum::<u64>();
        if (sum("desired"), sum("installed")) == (routes, routes) { Ok(()) } else { Err(text) }
    })
}

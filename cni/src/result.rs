//! The result of ADD, in one form for all seven versions: that of 1.1.0, which can say all that the others can.
//! What a version cannot express is refused where leaving it out would be wrong (a second address in 0.2.0).

mod decode;
mod encode;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::Dns;

/// What an ADD has made (spec section 5, "ADD success"). Printed by `to_json`, read by `from_value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddResult {
    /// All interfaces of the attachment, on the host and in the container. Empty in an IPAM plugin's result.
    pub interfaces: Vec<Interface>,
    /// The addresses.
    pub ips: Vec<IpConfig>,
    /// The routes in the container.
    pub routes: Vec<Route>,
    /// What the container's resolver should use.
    pub dns: Dns,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, inside of its namespace.
    pub name: String,
    /// Its hardware address, for Ethernet in lower-case hex with colons.
    pub mac: Option<String>,
    /// Its MTU in bytes.
    pub mtu: Option<u32>,
    /// The network namespace as the runtime has spelled it; absent on the host.
    pub sandbox: Option<String>,
    /// Of a userspace interface.
    pub socket_path: Option<String>,
    /// Of a passed-through device.
    pub pci_id: Option<String>,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpConfig {
    /// The address itself with the prefix length of its subnet: `10.1.0.5/16`.
    pub address: IpNetwork,
    /// The default gateway of the subnet.
    pub gateway: Option<IpAddr>,
    /// Which of the interfaces has it. Absent in an IPAM plugin's result.
    pub interface: Option<usize>,
}

/// A route in the container. The numbers are those of rtnetlink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to. Printed and read without host bits.
    pub dst: IpNetwork,
    /// The next hop. Absent: the gateway of the family's address.
    pub gw: Option<IpAddr>,
    /// MTU of the path in bytes.
    pub mtu: Option<u32>,
    /// The TCP segment size to announce, in bytes.
    pub advmss: Option<u32>,
    /// The metric.
    pub priority: Option<u32>,
    /// The routing table.
    pub table: Option<u32>,
    /// 0 global, 253 link, 254 host.
    pub scope: Option<u32>,
}

impl Interface {
    /// An interface of which only the name is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), mac: None, mtu: None, sandbox: None, socket_path: None, pci_id: None }
    }
}

impl Route {
    /// A route without attributes.
    pub fn via(dst: IpNetwork, gw: Option<IpAddr>) -> Self {
        Self { dst, gw, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

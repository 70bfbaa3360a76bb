//! What is between the nodes: segments, a router in each, and what they lose.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// What of a packet is lost on the way from one machine to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Packets with a pod's address: a cloud's source and destination check.
    pub pods: bool,
    /// Packets between the addresses of the nodes.
    pub nodes: bool,
}

/// The fabric.
#[derive(Clone, Debug, Default)]
pub struct Fabric {
    /// How many segments there are.
    pub segments: usize,
    /// Whether the routers between them know where the pod CIDRs are.
    pub knows_pods: bool,
    /// By the numbers of the machines: from, to.
    pub losses: BTreeMap<(usize, usize), Loss>,
}

impl Fabric {
    /// The subnets of a segment.
    pub fn subnets(segment: usize) -> [IpNetwork; 2] {
        let number = u16::try_from(segment).unwrap_or(0);
        let [_, byte] = number.to_be_bytes();
        let v4 = IpAddr::from(Ipv4Addr::new(172, 16 + byte, 0, 0));
        let v6 = IpAddr::from(Ipv6Addr::new(0xfd16, number, 0, 0, 0, 0, 0, 0));
        [(v4, 16), (v6, 64)].map(|(address, prefix)| IpNetwork::new(address, prefix).unwrap_or_else(|_| address.into()))
    }

    /// The address of a segment with this number.
    pub fn address(segment: usize, host: u32, v4: bool) -> IpNetwork {
        let [subnet4, subnet6] = Self::subnets(segment);
        let (ip, prefix) = match (subnet4.network(), subnet6.network()) {
            (IpAddr::V4(four), _) if v4 => (IpAddr::from(Ipv4Addr::from_bits(four.to_bits() + host)), 16),
            (_, IpAddr::V6(six)) => (IpAddr::from(Ipv6Addr::from_bits(six.to_bits() + u128::from(host))), 64),
            (four, _) => (four, 16),
        };
        IpNetwork::new(ip, prefix).unwrap_or_else(|_| ip.into())
    }

    /// The router's address in a segment.
    pub fn router(segment: usize, v4: bool) -> IpAddr {
        Self::address(segment, 0xfffe, v4).ip()
    }

    /// What is lost from one machine to another.
    pub fn loss(&self, from: usize, to: usize) -> Loss {
        self.losses.get(&(from, to)).copied().unwrap_or_default()
    }
}

//! What leads where: each element of the maps as a value, from what was asked for and the pod's addresses. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use cni::{PortMapping, Transport};
use netlink::Family;

use crate::error::Error;

/// A port of the node that leads to one of a pod, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The protocol.
    pub protocol: Transport,
    /// The node's address and port; the unspecified address stands for all of its family.
    pub at: SocketAddr,
    /// The pod's address and port.
    pub to: SocketAddr,
}

impl Forward {
    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.to.ip())
    }

    /// Whether it takes packets to all of the node's addresses of the family.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.at.ip().is_unspecified()
    }

    /// Whether there is a packet that both of them take.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        (self.protocol, self.at.port(), self.family()) == (other.protocol, other.at.port(), other.family())
            && (self.at.ip() == other.at.ip() || self.is_everywhere() || other.is_everywhere())
    }
}

/// What a pod with these addresses is asked to have: for each mapping one forward for each family that both have. A mapping
/// for an address of a family that the pod lacks leads nowhere and is left out, as portmap does.
///
/// # Errors
/// [`Error::Twice`] where one port of the node would lead to two ports.
pub fn forwards(mappings: &[PortMapping], addresses: &[IpAddr]) -> Result<Vec<Forward>, Error> {
    let mut all: Vec<Forward> = Vec::with_capacity(mappings.len() * 2);
    for mapping in mappings {
        for family in Family::BOTH {
            let Some(pod) = addresses.iter().find(|address| family.holds(**address)) else { continue };
            let at = match mapping.host_ip {
                Some(at) if family.holds(at) => at,
                Some(_) => continue,
                None => everywhere(family),
            };
            let forward = Forward {
                protocol: mapping.protocol,
                at: SocketAddr::new(at, mapping.host_port),
                to: SocketAddr::new(*pod, mapping.container_port),
            };
            match all.iter().find(|other| (other.protocol, other.at) == (forward.protocol, forward.at)) {
                None => all.push(forward),
                Some(same) if same.to == forward.to => {}
                Some(other) => return Err(Error::Twice { forward, other: other.to }),
            }
        }
    }
    Ok(all)
}

fn everywhere(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(host_ip: &str, host_port: u16, container_port: u16) -> PortMapping {
        PortMapping { protocol: Transport::Tcp, host_ip: host_ip.parse().ok(), host_port, container_port }
    }

    fn said(mappings: &[PortMapping], addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        forwards(mappings, &addresses).unwrap().iter().map(|one| format!("{} > {}", one.at, one.to)).collect()
    }

    #[test]
    fn each_family_of_the_pod_has_its_forward_and_a_host_address_of_another_has_none() {
        let both = ["10.244.1.2", "fd00::2"];
        assert_eq!(said(&[mapping("", 80, 8080)], &both), ["0.0.0.0:80 > 10.244.1.2:8080", "[::]:80 > [fd00::2]:8080"]);
        assert_eq!(said(&[mapping("0.0.0.0", 80, 1)], &both), ["0.0.0.0:80 > 10.244.1.2:1"]);
        assert_eq!(said(&[mapping("192.0.2.1", 80, 1)], &both), ["192.0.2.1:80 > 10.244.1.2:1"]);
        assert!(said(&[mapping("192.0.2.1", 80, 1), mapping("::", 80, 1)], &["fd00::2"]).len() == 1);
        assert_eq!(said(&[mapping("", 80, 1), mapping("0.0.0.0", 80, 1)], &both[..1]).len(), 1, "the same twice");
    }

    #[test]
    fn one_port_leads_to_one_port() {
        let addresses = ["10.244.1.2".parse().unwrap()];
        let twice = forwards(&[mapping("", 80, 1), mapping("", 80, 2)], &addresses).unwrap_err();
        assert_eq!(cni::Error::from(twice).code, cni::Code::InvalidConfig);
        // The one that names an address is looked up first.
        forwards(&[mapping("", 80, 1), mapping("192.0.2.1", 80, 2)], &addresses).unwrap();
    }

    #[test]
    fn forwards_overlap_where_a_packet_could_go_either_way() {
        let at = |text: &str, protocol| Forward { protocol, at: text.parse().unwrap(), to: text.parse().unwrap() };
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        for (one, other, overlap) in [
            ("0.0.0.0:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "192.0.2.1:80", true),
            ("192.0.2.1:80", "192.0.2.2:80", false),
            ("0.0.0.0:80", "0.0.0.0:81", false),
            ("0.0.0.0:80", "[::]:80", false),
            ("[::1]:80", "[::]:80", true),
        ] {
            assert_eq!(at(one, tcp).overlaps(&at(other, tcp)), overlap, "{one} {other}");
            assert!(!at(one, tcp).overlaps(&at(other, udp)));
        }
    }
}

//! The capability `portMappings` (CONVENTIONS.md): ports of the node that lead to ports of the pod. Mistakes are refused with
//! code 7, as the reference plugin portmap refuses them.

use std::fmt;
use std::net::IpAddr;

use crate::{Error, Fields};

/// A transport protocol, by its number (IANA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

/// One port of the node and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMapping {
    /// TCP where none is named.
    pub protocol: Transport,
    /// The node's address, of which the unspecified one means all of its family; `None`: all of both families.
    pub host_ip: Option<IpAddr>,
    /// The node's port.
    pub host_port: u16,
    /// The pod's port.
    pub container_port: u16,
}

impl Transport {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The protocol of this name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(text))
    }

    /// The protocol with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| *one as u8 == number)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The list, which may be absent.
pub(super) fn of(runtime: &Fields<'_>) -> Result<Vec<PortMapping>, Error> {
    runtime.objects("portMappings")?.unwrap_or_default().iter().map(mapping).collect()
}

fn mapping(entry: &Fields<'_>) -> Result<PortMapping, Error> {
    let protocol = entry.parsed("protocol", "protocol (tcp, udp, sctp)", Transport::parse)?;
    Ok(PortMapping {
        protocol: protocol.unwrap_or(Transport::Tcp),
        host_ip: entry.address("hostIP")?,
        host_port: port(entry, "hostPort")?,
        container_port: port(entry, "containerPort")?,
    })
}

fn port(entry: &Fields<'_>, key: &str) -> Result<u16, Error> {
    let number = entry.unsigned(key)?.ok_or_else(|| entry.missing(key))?;
    let port = u16::try_from(number).ok().filter(|port| *port != 0);
    port.ok_or_else(|| entry.invalid(key, format!("{number} is not from 1 to 65535")))
}

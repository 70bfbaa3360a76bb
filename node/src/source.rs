//! What a source of nodes yields: whole snapshots of {name, addresses, pod CIDRs}, or the error that kept it from one.
//!
//! Text is read here, once: what does not read stays with its node as [`Malformed`] and never stops the others.
//! Nothing here knows a route.

pub(crate) mod file;
pub(crate) mod kubernetes;
pub(crate) mod object;
mod watch;

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ipnetwork::IpNetwork;
use tokio::sync::{Notify, mpsc};

use crate::agent::part::Activity;

/// How much of a malformed text is kept for people.
const SHOWN: usize = 64;

/// One node as its source describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    /// The addresses at which other nodes reach it (`InternalIP`), in the source's order.
    pub(crate) addresses: Box<[IpAddr]>,
    /// The subnets of its pods, host bits zero.
    pub(crate) pod_cidrs: Box<[IpNetwork]>,
    /// What could not be understood.
    pub(crate) malformed: Box<[Malformed]>,
}

/// A text in a node that cannot be what it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Malformed {
    pub(crate) field: Field,
    pub(crate) text: String,
    pub(crate) fault: Fault,
}

/// Where a malformed text stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Field {
    Name,
    Address,
    PodCidr,
}

/// Why a text is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    Empty,
    NotAnAddress,
    NotASubnet,
    HostBits(IpNetwork),
    MappedV6,
    NotUnicast,
}

impl Node {
    /// Reads a node from a source's text.
    pub(crate) fn read<'a>(
        name: &str,
        addresses: impl IntoIterator<Item = &'a str>,
        pod_cidrs: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut malformed = Vec::new();
        if name.is_empty() {
            malformed.push(Malformed { field: Field::Name, text: String::new(), fault: Fault::Empty });
        }
        let addresses = sound(Field::Address, addresses, read_address, &mut malformed);
        let pod_cidrs = sound(Field::PodCidr, pod_cidrs, read_pod_cidr, &mut malformed);
        Self { name: name.into(), addresses, pod_cidrs, malformed: malformed.into() }
    }

    /// By name; of namesakes the one first that is sound and says most. It is the one that counts.
    fn order(&self, other: &Self) -> Ordering {
        let said = |node: &Self| (Reverse(node.malformed.len()), node.addresses.len(), node.pod_cidrs.len());
        let by_name = self.name.cmp(&other.name);
        by_name.then_with(|| said(other).cmp(&said(self))).then_with(|| self.cmp(other))
    }

    /// Takes from what was last good the fields that are malformed now.
    fn keep(&mut self, good: &Self) {
        if self.malformed.iter().any(|bad| bad.field == Field::Address) {
            self.addresses = good.addresses.clone();
        }
        if self.malformed.iter().any(|bad| bad.field == Field::PodCidr) {
            self.pod_cidrs = good.pod_cidrs.clone();
        }
    }
}

/// The texts that read, without repetition; the others go to `malformed`.
fn sound<'a, T: PartialEq>(
    field: Field,
    texts: impl IntoIterator<Item = &'a str>,
    read: impl Fn(&str) -> Result<T, Fault>,
    malformed: &mut Vec<Malformed>,
) -> Box<[T]> {
    let mut good = Vec::new();
    for text in texts {
        match read(text) {
            Ok(value) if good.contains(&value) => {}
            Ok(value) => good.push(value),
            Err(fault) => malformed.push(Malformed { field, text: text.chars().take(SHOWN).collect(), fault }),
        }
    }
    good.into()
}

fn read_address(text: &str) -> Result<IpAddr, Fault> {
    let address: IpAddr = text.parse().map_err(|_| Fault::NotAnAddress)?;
    unicast(address).map(|()| address)
}

fn read_pod_cidr(text: &str) -> Result<IpNetwork, Fault> {
    let Some((address, prefix)) = text.split_once('/') else { return Err(Fault::NotASubnet) };
    let address: IpAddr = address.parse().map_err(|_| Fault::NotASubnet)?;
    let prefix = prefix.parse().map_err(|_| Fault::NotASubnet)?;
    let cidr = IpNetwork::new(address, prefix).map_err(|_| Fault::NotASubnet)?;
    if cidr.network() != address {
        return Err(IpNetwork::new(cidr.network(), prefix).map_or(Fault::NotASubnet, Fault::HostBits));
    }
    if prefix == 0 {
        return Err(Fault::NotUnicast);
    }
    unicast(address).map(|()| cidr)
}

/// Refuses what no node and no pod can have as its address.
fn unicast(address: IpAddr) -> Result<(), Fault> {
    let refused = match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_link_local() || v4.is_broadcast()
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => return Err(Fault::MappedV6),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    if refused { Err(Fault::NotUnicast) } else { Ok(()) }
}

/// All nodes of the cluster at one time, in the order of their names. Never a part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) nodes: Vec<Node>,
    /// When the source said so.
    pub(crate) taken: Instant,
}

impl Snapshot {
    pub(crate) fn new(mut nodes: Vec<Node>, taken: Instant) -> Self {
        nodes.sort_unstable_by(Node::order);
        nodes.shrink_to_fit();
        Self { nodes, taken }
    }

    /// The nodes that could not be understood.
    pub(crate) fn malformed(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.malformed.is_empty())
    }

    /// A node with a malformed field keeps that field as `before` had it: its routes stay while someone repairs it.
    pub(crate) fn keep_last_good(&mut self, before: &Self) {
        for node in self.nodes.iter_mut().filter(|node| !node.malformed.is_empty()) {
            if let Ok(index) = before.nodes.binary_search_by(|other| other.name.cmp(&node.name)) {
                node.keep(&before.nodes[index]);
            }
        }
    }
}

/// What a source tells its agent.
pub(crate) type Report = Result<Snapshot, Error>;

/// Why a source has no new snapshot. The last good one stays in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}:{line}: {problem}")]
    Malformed { path: String, line: u64, problem: String },
    #[error("{doing}: {why}")]
    Kubernetes { doing: &'static str, why: String },
}

/// Where the nodes come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Kubernetes(kubernetes::Access),
}

impl Source {
    /// Reports until nobody listens. `refresh` asks for a snapshot of now.
    pub(crate) async fn run(self, reports: mpsc::Sender<Report>, refresh: Arc<Notify>, activity: Activity) -> String {
        match self {
            Self::File(path) => file::run(path, reports, refresh, activity).await,
            Self::Kubernetes(access) => kubernetes::run(access, reports, refresh).await,
        }
        "nobody listens any more".to_owned()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Kubernetes(kubernetes::Access::InCluster) => write!(f, "kubernetes, in cluster"),
            Self::Kubernetes(kubernetes::Access::Kubeconfig(path)) => write!(f, "kubernetes, {}", path.display()),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = match self.field {
            Field::Name => "name",
            Field::Address => "address",
            Field::PodCidr => "pod CIDR",
        };
        write!(f, "{field} {:?} ", self.text)?;
        match self.fault {
            Fault::Empty => write!(f, "is empty"),
            Fault::NotAnAddress => write!(f, "is not an IP address"),
            Fault::NotASubnet => write!(f, "is not a subnet"),
            Fault::HostBits(network) => write!(f, "has host bits set (did you mean {network}?)"),
            Fault::MappedV6 => write!(f, "is an IPv4 address in IPv6 clothes"),
            Fault::NotUnicast => write!(f, "is not a unicast address or subnet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(address: &str, cidr: &str) -> Vec<Fault> {
        Node::read("n", [address], [cidr]).malformed.iter().map(|bad| bad.fault).collect()
    }

    #[test]
    fn what_no_node_can_have_is_malformed_and_names_its_fault() {
        assert!(faults("10.0.0.2", "10.244.2.0/24").is_empty());
        assert!(faults("fd00::2", "fd00:10:244:2::/64").is_empty());
        assert_eq!(faults("10.0.0", "10.244.2.0"), [Fault::NotAnAddress, Fault::NotASubnet]);
        assert_eq!(faults("127.0.0.1", "224.0.0.0/24"), [Fault::NotUnicast, Fault::NotUnicast]);
        assert_eq!(faults("fe80::1", "0.0.0.0/0"), [Fault::NotUnicast, Fault::NotUnicast]);
        assert_eq!(faults("::ffff:10.0.0.2", "::ffff:10.0.0.0/120"), [Fault::MappedV6, Fault::MappedV6]);
        assert_eq!(faults("10.0.0.2", "10.244.2.7/24"), [Fault::HostBits("10.244.2.0/24".parse().unwrap())]);
        assert_eq!(faults("10.0.0.2", "10.244.2.0/33"), [Fault::NotASubnet]);
    }

    #[test]
    fn a_node_that_turns_malformed_keeps_its_last_good_field_and_its_fault() {
        let now = Instant::now();
        let before = Snapshot::new(vec![Node::read("n2", ["10.0.0.2"], ["10.244.2.0/24"])], now);
        let mut after = Snapshot::new(vec![Node::read("n2", ["10.0.0.9"], ["10.244.2/24"])], now);
        after.keep_last_good(&before);
        assert_eq!(after.nodes[0].pod_cidrs, before.nodes[0].pod_cidrs);
        assert_eq!(after.nodes[0].addresses[0].to_string(), "10.0.0.9");
        assert_eq!(after.nodes[0].malformed.len(), 1);
    }
}

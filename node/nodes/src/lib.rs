//! The nodes of a cluster as values: names, addresses and pod CIDRs ([`Node`], [`Snapshot`]), parsed from texts, and the
//! last good values of what a list lacks ([`last_good`]). Pure; nothing here depends on where a list is read or on routes.
//!
//! Text is parsed here, once: what cannot be parsed is kept with its node as [`Malformed`] and does not affect other
//! nodes.

pub mod last_good;

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnetwork::IpNetwork;

use self::last_good::Kept;

/// How much of a malformed text is kept for messages.
const SHOWN: usize = 64;

/// One node as its source describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// Its name in the cluster; "" where the source has none.
    pub name: Arc<str>,
    /// The addresses at which other nodes reach it (`InternalIP`), in the source's order.
    pub addresses: Box<[IpAddr]>,
    /// The subnets of its pods, host bits zero.
    pub pod_cidrs: Box<[IpNetwork]>,
    /// Values that could not be parsed.
    pub malformed: Box<[Malformed]>,
    /// The uid, which differs from that of another node of the same name; `None` where the source has none.
    pub uid: Option<Arc<str>>,
    /// Those of its addresses and pod CIDRs that are kept although the source lacks them now.
    pub kept: Box<[Kept]>,
}

/// A value of a node that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Malformed {
    /// What the value should have been.
    pub field: Field,
    /// The field's name, as its path in the object.
    at: String,
    text: String,
    /// What is wrong with it.
    pub fault: Fault,
    /// Where the node stands in its file.
    place: String,
}

/// A text with the path of its field.
pub struct Text<'a> {
    /// The field's path in the object.
    pub at: String,
    /// The text.
    pub text: &'a str,
}

/// What is unknown because of a malformed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The node's name.
    Name,
    /// One of its addresses.
    Address,
    /// One of its pod CIDRs.
    PodCidr,
}

/// Why a value is malformed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It is missing.
    Missing,
    /// It is empty.
    Empty,
    /// It has another type.
    WrongType {
        /// Its type.
        found: Kind,
        /// The type that it should have.
        wanted: Kind,
    },
    /// Its field appears twice.
    Twice,
    /// It cannot be read, with the reason.
    Unreadable(String),
    /// It is not an IP address.
    NotAnAddress,
    /// It is not a subnet.
    NotASubnet,
    /// A subnet with host bits; the network is the one without.
    HostBits(IpNetwork),
    /// It is an IPv4-mapped IPv6 address.
    MappedV6,
    /// It is not a unicast address or subnet.
    NotUnicast,
}

impl Malformed {
    /// A value of `field`, at the path `at` in the object.
    pub fn of(field: Field, at: String, fault: Fault) -> Self {
        Self { field, at, text: String::new(), fault, place: String::new() }
    }
}

impl Node {
    /// Parses a node from a source's texts; `malformed` are the faults found before.
    pub fn read(
        name: &str,
        uid: Option<&str>,
        addresses: &[Text<'_>],
        pod_cidrs: &[Text<'_>],
        mut malformed: Vec<Malformed>,
    ) -> Self {
        let addresses = sound(Field::Address, addresses, read_address, &mut malformed);
        let pod_cidrs = sound(Field::PodCidr, pod_cidrs, read_pod_cidr, &mut malformed);
        let (name, uid) = (name.into(), uid.map(Into::into));
        Self { name, addresses, pod_cidrs, malformed: malformed.into(), uid, kept: Box::default() }
    }

    /// A node with these texts as its addresses and pod CIDRs.
    pub fn of(name: &str, addresses: &[&str], pod_cidrs: &[&str]) -> Self {
        fn texts<'a>(of: &str, texts: &[&'a str]) -> Vec<Text<'a>> {
            texts.iter().enumerate().map(|(index, text)| Text { at: format!("{of}[{index}]"), text }).collect()
        }
        let (addresses, pod_cidrs) = (texts("status.addresses", addresses), texts("spec.podCIDRs", pod_cidrs));
        Self::read(name, None, &addresses, &pod_cidrs, Vec::new())
    }

    /// Adds the place to its malformed values.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        for bad in &mut self.malformed {
            bad.place = place.to_string();
        }
        self
    }

    /// By name; of nodes of one name the most complete valid one comes first. It is the one that counts.
    fn order(&self, other: &Self) -> Ordering {
        let said = |node: &Self| (Reverse(node.malformed.len()), node.addresses.len(), node.pod_cidrs.len());
        let by_name = self.name.cmp(&other.name);
        by_name.then_with(|| said(other).cmp(&said(self))).then_with(|| self.cmp(other))
    }
}

/// The values that parse, without repetition; the others are added to `malformed`.
fn sound<T: PartialEq>(
    field: Field,
    texts: &[Text<'_>],
    read: impl Fn(&str) -> Result<T, Fault>,
    malformed: &mut Vec<Malformed>,
) -> Box<[T]> {
    let mut good = Vec::new();
    for Text { at, text } in texts {
        match read(text) {
            Ok(value) if good.contains(&value) => {}
            Ok(value) => good.push(value),
            Err(fault) => {
                malformed.push(Malformed {
                    text: text.chars().take(SHOWN).collect(),
                    ..Malformed::of(field, at.clone(), fault)
                });
            }
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

/// All nodes of the cluster at one time, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of their names; of nodes of one name the one that counts comes first.
    pub nodes: Vec<Node>,
    /// When the source reported them.
    pub taken: Instant,
    /// What the source could not read; the last good content of it stays in force.
    pub faults: Vec<String>,
    /// Something was never read: nodes may be missing, so that no node counts as removed.
    pub partial: bool,
}

impl Snapshot {
    /// A complete snapshot; sorts the nodes.
    pub fn new(mut nodes: Vec<Node>, taken: Instant) -> Self {
        nodes.sort_unstable_by(Node::order);
        nodes.shrink_to_fit();
        Self { nodes, taken, faults: Vec::new(), partial: false }
    }
}

/// The type of a value in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A string.
    Text,
    /// A number.
    Number,
    /// A boolean.
    Boolean,
    /// A list.
    List,
    /// A mapping.
    Mapping,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field: _, at, text, fault, place } = self;
        match fault {
            Fault::Missing => write!(f, "{at} is missing"),
            Fault::Empty => write!(f, "{at} is empty"),
            Fault::WrongType { found, wanted } => write!(f, "{at} is {found}, not {wanted}"),
            Fault::Twice => write!(f, "{at} appears twice; the last one is used"),
            Fault::Unreadable(why) => write!(f, "{at} cannot be read: {why}"),
            Fault::NotAnAddress => write!(f, "{at} {text:?} is not an IP address"),
            Fault::NotASubnet => write!(f, "{at} {text:?} is not a subnet"),
            Fault::HostBits(network) => write!(f, "{at} {text:?} has host bits set (did you mean {network}?)"),
            Fault::MappedV6 => write!(f, "{at} {text:?} is an IPv4 address written as IPv6"),
            Fault::NotUnicast => write!(f, "{at} {text:?} is not a unicast address or subnet"),
        }?;
        if place.is_empty() { Ok(()) } else { write!(f, " ({place})") }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(address: &str, cidr: &str) -> Vec<Fault> {
        Node::of("n", &[address], &[cidr]).malformed.iter().map(|bad| bad.fault.clone()).collect()
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
}

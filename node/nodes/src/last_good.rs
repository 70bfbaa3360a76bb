//! Missing is not removed: a listed node that loses its address, its pod CIDR or one family of them keeps the last good
//! one, which is reported. Pure.
//!
//! Valid values count at once, whatever else the node has. A kept value is forgotten when another node lists it, when
//! the node is a new one of the same name (its uid changed), when the node leaves the list, or by an operator's
//! command.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Node, Snapshot};

/// A value that the list no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept {
    /// An address of the node.
    Address(IpAddr),
    /// A pod CIDR of the node.
    PodCidr(IpNetwork),
}

/// A value that a node can have in each family.
trait Value: Copy + PartialEq {
    fn is_v4(self) -> bool;
    fn kept(self) -> Kept;
}

impl Value for IpAddr {
    fn is_v4(self) -> bool {
        self.is_ipv4()
    }

    fn kept(self) -> Kept {
        Kept::Address(self)
    }
}

impl Value for IpNetwork {
    fn is_v4(self) -> bool {
        self.is_ipv4()
    }

    fn kept(self) -> Kept {
        Kept::PodCidr(self)
    }
}

impl Snapshot {
    /// Nodes keep what they had in `before` and lack now.
    pub fn keep_last_good(&mut self, before: &Self) {
        if self.partial {
            self.carry_over(before);
        }
        let lacking: Vec<(usize, &Node)> = self.lacking(before).collect();
        if lacking.is_empty() {
            return;
        }
        let claims = Claims::of(&self.nodes);
        for (index, before) in lacking {
            let node = &mut self.nodes[index];
            if node.uid.is_none() {
                node.uid.clone_from(&before.uid);
            }
            let mut kept = keep(&mut node.addresses, &before.addresses, |address| claims.has_address(address));
            kept.extend(keep(&mut node.pod_cidrs, &before.pod_cidrs, |cidr| claims.overlap(cidr)));
            node.kept = kept.into();
        }
    }

    /// Nodes that lack what the node of the same name had before, each with that node.
    fn lacking<'b>(&self, before: &'b Self) -> impl Iterator<Item = (usize, &'b Node)> {
        self.nodes.iter().enumerate().filter_map(|(index, node)| {
            // Of nodes of one name the first counts, in both lists.
            let first = index == 0 || self.nodes[index - 1].name != node.name;
            let before = before.named(&node.name).filter(|_| first && !node.name.is_empty())?;
            let same = node.uid.is_none() || before.uid.is_none() || node.uid == before.uid;
            let lacks = lacks(&node.addresses, &before.addresses) || lacks(&node.pod_cidrs, &before.pod_cidrs);
            (same && lacks).then_some((index, before))
        })
    }

    /// A partial list removes no node.
    fn carry_over(&mut self, before: &Self) {
        let missing = before.nodes.iter().filter(|node| self.named(&node.name).is_none());
        let missing: Vec<Node> = missing.cloned().collect();
        self.nodes.extend(missing);
        self.nodes.sort_by(Node::order);
    }

    /// The node of a name; of several the one that counts.
    pub fn named(&self, name: &str) -> Option<&Node> {
        let first = self.nodes.partition_point(|node| *node.name < *name);
        self.nodes.get(first).filter(|node| *node.name == *name)
    }

    /// Forgets what is kept; false when nothing is.
    pub fn forget_kept(&mut self) -> bool {
        let mut forgot = false;
        for node in self.nodes.iter_mut().filter(|node| !node.kept.is_empty()) {
            let kept = std::mem::take(&mut node.kept);
            node.addresses = node.addresses.iter().copied().filter(|own| !kept.contains(&own.kept())).collect();
            node.pod_cidrs = node.pod_cidrs.iter().copied().filter(|own| !kept.contains(&own.kept())).collect();
            forgot = true;
        }
        forgot
    }
}

fn has<T: Value>(values: &[T], v4: bool) -> bool {
    values.iter().any(|value| value.is_v4() == v4)
}

fn lacks<T: Value>(now: &[T], before: &[T]) -> bool {
    [true, false].into_iter().any(|v4| !has(now, v4) && has(before, v4))
}

/// Adds the earlier values of each family that is missing now, unless they are `taken`; returns what it added.
fn keep<T: Value>(now: &mut Box<[T]>, before: &[T], taken: impl Fn(T) -> bool) -> Vec<Kept> {
    let missing = |value: &T| !has(now, value.is_v4()) && !taken(*value);
    let added: Vec<T> = before.iter().copied().filter(missing).collect();
    if !added.is_empty() {
        *now = now.iter().copied().chain(added.iter().copied()).collect();
    }
    added.into_iter().map(T::kept).collect()
}

/// The addresses and CIDRs that the nodes of a list have.
struct Claims {
    addresses: HashSet<IpAddr>,
    /// First and last address of each CIDR by its first, with the greatest last address so far. By family.
    cidrs: [Vec<(u128, u128)>; 2],
}

impl Claims {
    fn of(nodes: &[Node]) -> Self {
        let addresses = nodes.iter().flat_map(|node| node.addresses.iter().copied()).collect();
        let family = |v4: bool| {
            let cidrs = nodes.iter().flat_map(|node| node.pod_cidrs.iter());
            let mut cidrs: Vec<_> = cidrs.filter(|cidr| cidr.is_ipv4() == v4).map(|cidr| span(*cidr)).collect();
            cidrs.sort_unstable();
            let mut greatest = 0;
            for (_, last) in &mut cidrs {
                greatest = greatest.max(*last);
                *last = greatest;
            }
            cidrs
        };
        Self { addresses, cidrs: [family(true), family(false)] }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    fn overlap(&self, cidr: IpNetwork) -> bool {
        let cidrs = &self.cidrs[usize::from(!cidr.is_ipv4())];
        let (first, last) = span(cidr);
        let before = cidrs.partition_point(|(begin, _)| *begin <= last);
        before.checked_sub(1).is_some_and(|index| cidrs[index].1 >= first)
    }
}

fn span(cidr: IpNetwork) -> (u128, u128) {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (number(cidr.network()), number(cidr.broadcast()))
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = |v4| if v4 { "IPv4" } else { "IPv6" };
        match self {
            Self::Address(address) => {
                write!(
                    f,
                    "no {} InternalIP in the list; its last good address {address} is kept",
                    family(address.is_ipv4())
                )
            }
            Self::PodCidr(cidr) => {
                write!(f, "no {} pod CIDR in the list; its last good one {cidr} is kept", family(cidr.is_ipv4()))
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Who claims what in a snapshot: CIDRs that cover a neighbour's address, addresses in another's CIDR. Sorted once, so that a
//! question costs the logarithm of the number of nodes: thousands of junk nodes are no burden.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use nodes::Node;

/// The claims of all nodes of a snapshot. Nodes are meant by their place in it.
pub struct Claims<'a> {
    /// Each CIDR's first claimant, in the order of the names.
    cidrs: BTreeMap<IpNetwork, &'a Node>,
    /// The prefix lengths that occur, so that the CIDRs around an address can be looked up one by one.
    v4_prefixes: BTreeSet<u8>,
    v6_prefixes: BTreeSet<u8>,
    /// The addresses of the nodes that are near.
    near: BTreeMap<IpAddr, &'a Node>,
}

impl<'a> Claims<'a> {
    /// Reads the claims of `nodes`, which are in the order of their names. A CIDR that covers an address which is `near`
    /// is the one at fault; any other address may itself be junk.
    pub fn of(nodes: impl Iterator<Item = &'a Node>, near: impl Fn(IpAddr) -> bool) -> Self {
        let mut claims = Self {
            cidrs: BTreeMap::new(),
            v4_prefixes: BTreeSet::new(),
            v6_prefixes: BTreeSet::new(),
            near: BTreeMap::new(),
        };
        for node in nodes {
            for cidr in &node.pod_cidrs {
                claims.cidrs.entry(*cidr).or_insert(node);
                let prefixes = if cidr.is_ipv4() { &mut claims.v4_prefixes } else { &mut claims.v6_prefixes };
                prefixes.insert(cidr.prefix());
            }
            for address in node.addresses.iter().filter(|address| near(**address)) {
                claims.near.entry(*address).or_insert(node);
            }
        }
        claims
    }

    /// A CIDR that holds `address`, the widest, with its node.
    pub(crate) fn cidr_around(&self, address: IpAddr) -> Option<(IpNetwork, &'a Node)> {
        let prefixes = if address.is_ipv4() { &self.v4_prefixes } else { &self.v6_prefixes };
        prefixes.iter().find_map(|prefix| {
            let around = network(address, *prefix)?;
            self.cidrs.get(&around).map(|node| (around, *node))
        })
    }

    /// The near addresses that lie in `cidr`.
    pub(crate) fn near_address_in(&self, cidr: IpNetwork) -> impl Iterator<Item = (IpAddr, &'a Node)> + '_ {
        self.near.range(cidr.network()..=cidr.broadcast()).map(|(address, node)| (*address, *node))
    }
}

/// `address` with its host bits cleared.
fn network(address: IpAddr, prefix: u8) -> Option<IpNetwork> {
    let network = match address {
        IpAddr::V4(v4) => {
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)))
        }
        IpAddr::V6(v6) => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)))
        }
    };
    IpNetwork::new(network, prefix).ok()
}

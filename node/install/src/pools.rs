//! Addresses are unique in the cluster as long as every node leases from its own pod CIDRs only. This judges the pools
//! and the leases of this node by that rule. Pure.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use routes::overlap;

/// A subnet from which this node leases addresses, and the file that configures it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The subnet.
    pub subnet: IpNetwork,
    /// The name of the file.
    pub file: String,
}

/// What endangers uniqueness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dangers {
    /// The node must not lease addresses until it is fixed.
    pub grave: Vec<String>,
    /// It is only reported.
    pub slight: Vec<String>,
}

/// Judges `pools` and `leased` by this node's CIDRs and those of the other nodes, given with the nodes' names.
pub fn judge<'a>(
    pools: &[Pool],
    leased: &[IpAddr],
    own: &[IpNetwork],
    others: impl Iterator<Item = (&'a str, IpNetwork)> + Clone,
) -> Dangers {
    let mut dangers = Dangers::default();
    for Pool { subnet, file } in pools {
        if let Some((node, cidr)) = others.clone().find(|(_, cidr)| overlap(*cidr, *subnet)) {
            dangers.grave.push(format!("the pool {subnet} of {file} lies in the pod CIDR {cidr} of {node}"));
        } else if !own.iter().any(|own| own.contains(subnet.network()) && own.prefix() <= subnet.prefix()) {
            dangers.grave.push(format!("the pool {subnet} of {file} lies outside this node's pod CIDRs"));
        }
    }
    let astray = leased.iter().filter(|address| !own.iter().any(|own| own.contains(**address)));
    for address in astray {
        match others.clone().find(|(_, cidr)| cidr.contains(*address)) {
            Some((node, cidr)) => {
                dangers.grave.push(format!("the leased address {address} lies in the pod CIDR {cidr} of {node}"));
            }
            None => dangers.slight.push(format!("the leased address {address} lies outside this node's pod CIDRs")),
        }
    }
    dangers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pool: &str, address: &str) -> (usize, usize) {
        let cidr = |text: &str| text.parse().unwrap();
        let pools = [Pool { subnet: cidr(pool), file: "10-podlan.conflist".into() }];
        let others = [("n2", cidr("10.244.2.0/24"))];
        let own = [cidr("10.244.1.0/24"), cidr("fd00:10:244:1::/64")];
        let dangers = judge(&pools, &[address.parse().unwrap()], &own, others.into_iter());
        (dangers.grave.len(), dangers.slight.len())
    }

    #[test]
    fn pools_lie_in_the_own_cidrs_and_in_no_others() {
        assert_eq!(judged("10.244.1.0/24", "10.244.1.9"), (0, 0));
        assert_eq!(judged("10.244.1.128/25", "fd00:10:244:1::9"), (0, 0));
        assert_eq!(judged("10.244.0.0/16", "10.244.1.9"), (1, 0), "wider than the own CIDR, over another's");
        assert_eq!(judged("10.99.0.0/24", "10.244.1.9"), (1, 0), "outside");
        assert_eq!(judged("10.244.2.0/26", "10.244.2.9"), (2, 0), "another's, leased already");
        assert_eq!(judged("10.244.1.0/24", "10.99.0.9"), (0, 1));
    }
}

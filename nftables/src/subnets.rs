//! A set of subnets no two of which overlap: what an interval set of the kernel can hold. Pure.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;
use netlink::Family;

/// The same addresses in the fewest of the subnets that were given: one that lies in another is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subnets(BTreeSet<IpNetwork>);

impl Subnets {
    /// Those that begin in ascending order, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpNetwork> + '_ {
        self.0.iter().copied()
    }

    /// Those of one family.
    pub fn of_family(&self, family: Family) -> Self {
        Self(self.iter().filter(|subnet| family.holds(subnet.ip())).collect())
    }

    pub(super) fn contains(&self, subnet: IpNetwork) -> bool {
        self.0.contains(&subnet)
    }
}

impl FromIterator<IpNetwork> for Subnets {
    fn from_iter<I: IntoIterator<Item = IpNetwork>>(subnets: I) -> Self {
        let mut all: Vec<IpNetwork> = subnets.into_iter().map(without_host_bits).collect();
        // A subnet sorts before those that lie in it.
        all.sort_unstable_by_key(|subnet| (subnet.network(), subnet.prefix()));
        let mut last: Option<IpNetwork> = None;
        all.retain(|subnet| {
            let covered = last.is_some_and(|last| holds(last, *subnet));
            last = if covered { last } else { Some(*subnet) };
            !covered
        });
        Self(all.into_iter().collect())
    }
}

/// Whether `inner` lies in `outer`, where it does not hold it.
pub(super) fn holds(outer: IpNetwork, inner: IpNetwork) -> bool {
    outer.is_ipv4() == inner.is_ipv4() && outer.prefix() <= inner.prefix() && outer.contains(inner.network())
}

fn without_host_bits(subnet: IpNetwork) -> IpNetwork {
    IpNetwork::new(subnet.network(), subnet.prefix()).unwrap_or(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Vec<String> {
        let subnets: Subnets = texts.iter().map(|text| text.parse::<IpNetwork>().unwrap()).collect();
        subnets.iter().map(|subnet| subnet.to_string()).collect()
    }

    #[test]
    fn no_subnet_is_there_twice_and_none_that_lies_in_another() {
        let given =
            ["10.244.2.0/24", "10.244.2.0/24", "10.0.0.0/8", "10.0.0.0/9", "192.0.2.1/32", "fd31::1/128", "fd31::/16"];
        assert_eq!(read(&given), ["10.0.0.0/8", "192.0.2.1/32", "fd31::/16"]);
        assert_eq!(read(&["0.0.0.0/0", "10.0.0.0/8", "::/0", "ff00::/8"]), ["0.0.0.0/0", "::/0"]);
    }

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!(read(&["10.244.2.7/24", "10.244.2.9/24"]), ["10.244.2.0/24"]);
    }
}

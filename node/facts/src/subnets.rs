//! Which of many subnets holds a subnet or an address, without a look at each.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use netlink::Family;

/// Subnets, each with what it is of. Of equal ones the first counts.
#[derive(Debug, Default)]
pub struct Subnets<T> {
    all: BTreeMap<IpNetwork, T>,
    /// The prefix lengths that occur.
    prefixes: BTreeSet<(Family, u8)>,
}

impl<T> FromIterator<(IpNetwork, T)> for Subnets<T> {
    fn from_iter<I: IntoIterator<Item = (IpNetwork, T)>>(from: I) -> Self {
        let mut subnets = Self { all: BTreeMap::new(), prefixes: BTreeSet::new() };
        for (subnet, of) in from {
            subnets.prefixes.insert((Family::of(subnet.ip()), subnet.prefix()));
            subnets.all.entry(subnet).or_insert(of);
        }
        subnets
    }
}

impl<T> Subnets<T> {
    /// The smallest that holds all of `inner`, which has no host bits.
    pub fn holder(&self, inner: IpNetwork) -> Option<(IpNetwork, &T)> {
        let family = Family::of(inner.ip());
        let lengths = self.prefixes.range((family, 0)..=(family, inner.prefix())).rev();
        lengths.map(|(_, length)| *length).find_map(|length| {
            let outer = IpNetwork::new(inner.ip(), length).ok()?;
            let outer = IpNetwork::new(outer.network(), length).ok()?;
            self.all.get_key_value(&outer).map(|(subnet, of)| (*subnet, of))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_subnet_that_holds_all_of_another_is_found() {
        let all = ["10.0.0.0/8", "10.244.2.0/24", "10.244.2.0/24", "fd00::/64", "::/0"];
        let subnets: Subnets<usize> =
            all.iter().enumerate().map(|(number, subnet)| (subnet.parse().unwrap(), number)).collect();
        for (inner, holder) in [
            ("10.244.2.7/32", Some("10.244.2.0/24")),
            ("10.244.2.0/24", Some("10.244.2.0/24")),
            ("10.244.2.0/23", Some("10.0.0.0/8")),
            ("10.244.3.1/32", Some("10.0.0.0/8")),
            ("11.0.0.0/8", None),
            ("0.0.0.0/0", None),
            ("fd00::5/128", Some("fd00::/64")),
            ("fd00:1::/64", Some("::/0")),
        ] {
            let inner: IpNetwork = inner.parse().unwrap();
            let found = subnets.holder(inner);
            assert_eq!(found.map(|(subnet, _)| subnet.to_string()).as_deref(), holder, "{inner}");
            assert!(
                found.is_none_or(
                    |(subnet, number)| all.iter().position(|one| *one == subnet.to_string()) == Some(*number)
                )
            );
        }
    }
}

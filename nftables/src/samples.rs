//! For tests: sets of subnets as they may come, and ranges of numbers as an oracle that knows nothing of subnets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink::Family;
use proptest::prelude::*;

use super::Subnets;

/// Sets of up to `most` subnets: runs of neighbours, single addresses, wide ones around them, both ends of the range.
/// They come from few places, so that two of them overlap in every way.
pub(crate) fn any_subnets(family: Family, most: usize) -> impl Strategy<Value = Subnets> {
    proptest::collection::vec(any_run(family), 0..6)
        .prop_map(move |runs| runs.into_iter().flatten().collect::<Subnets>().iter().take(most).collect())
}

pub(crate) fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

/// Subnets of one size, one behind the other or with gaps.
fn any_run(family: Family) -> impl Strategy<Value = Vec<IpNetwork>> {
    let bits = family.bits();
    let place = prop_oneof![
        Just(0u128),
        Just(u128::MAX),
        Just(0x0a << 120),
        (0u128..4).prop_map(|low| (0x0af4 << 112) | (low << 104)),
        any::<u128>(),
    ];
    let prefix = prop_oneof![1 => 0..=4u8, 2 => 8..=20u8, 4 => 20..=32u8, 2 => (bits - 4)..=bits];
    let count = prop_oneof![4 => Just(1u128), 3 => 2..40u128, 3 => 500..2000u128];
    (place, prefix, count, 1..3u128).prop_map(move |(place, prefix, count, stride)| {
        let number = |index: u128| {
            let size = 1u128.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            place.wrapping_add(size.wrapping_mul(index * stride))
        };
        (0..count).map(|index| subnet(family, number(index), prefix)).collect()
    })
}

fn subnet(family: Family, number: u128, prefix: u8) -> IpNetwork {
    let v4 = Ipv4Addr::from(u32::try_from(number >> 96).unwrap());
    let address: IpAddr = match family {
        Family::V4 => v4.into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    };
    IpNetwork::new(address, prefix).unwrap()
}

/// Ranges of numbers, ends included, ascending, none touching another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    pub(crate) fn of(subnets: impl Iterator<Item = IpNetwork>) -> Self {
        let number = |address| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        Self::merged(subnets.map(|subnet| (number(subnet.network()), number(subnet.broadcast()))).collect())
    }

    fn merged(mut all: Vec<(u128, u128)>) -> Self {
        all.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::new();
        for (first, last) in all {
            match merged.last_mut() {
                Some(before) if before.1 >= first || before.1 + 1 == first => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self::merged(self.0.iter().chain(&other.0).copied().collect())
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut common = Vec::new();
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(one), Some(two)) = (ours.peek(), theirs.peek()) {
            let (first, last) = (one.0.max(two.0), one.1.min(two.1));
            if first <= last {
                common.push((first, last));
            }
            if one.1 < two.1 {
                ours.next()
            } else {
                theirs.next()
            };
        }
        Self(common)
    }

    pub(crate) fn lie_in(&self, other: &Self) -> bool {
        self.intersection(other) == *self
    }
}

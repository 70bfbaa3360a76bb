//! The routes that an agent wanted when it last judged, against those that the kernel holds now. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::here::Here;
use super::{Key, Routes, Target};

/// How one wanted route stands in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InKernel {
    /// It is there.
    AsWanted,
    /// There is none of ours.
    Missing,
    /// There is one of ours that leads elsewhere.
    Otherwise(Target),
}

/// How the wanted route `key` to `target` stands among those `found`.
pub fn in_kernel(key: &Key, target: &Target, found: &Routes) -> InKernel {
    match found.get(key) {
        None => InKernel::Missing,
        Some(held) if held == target => InKernel::AsWanted,
        Some(held) => InKernel::Otherwise(*held),
    }
}

/// The routes of ours among those `found` that are not `wanted`.
pub fn unwanted(wanted: &BTreeSet<Key>, found: &Routes) -> Routes {
    found.iter().filter(|(key, _)| !wanted.contains(key)).map(|(key, target)| (*key, *target)).collect()
}

/// A target in words, its link by name.
pub struct Shown<'a>(pub Target, pub &'a Here);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Target::Hop { via, link, onlink } => {
                write!(f, "via {via} on {}{}", self.1.link_name(link), if onlink { ", onlink" } else { "" })
            }
            Target::Unreachable => write!(f, "unreachable"),
            Target::Foreign => write!(f, "of a shape that podlan does not make"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_route_is_there_or_missing_or_leads_elsewhere_and_the_rest_is_unwanted() {
        let hop = |last: u8| Target::Hop { via: [172, 31, 0, last].into(), link: 2, onlink: false };
        let cidr = |text: &str| text.parse().unwrap();
        let own = Key::own(cidr("10.244.1.0/24"));
        let peers =
            ["10.244.2.0/24", "10.244.3.0/24", "10.244.4.0/24", "10.244.9.0/24"].map(|text| Key::peer(cidr(text)));
        let found =
            Routes::from([(own, Target::Unreachable), (peers[0], hop(2)), (peers[1], hop(9)), (peers[3], hop(9))]);
        let wanted = [(own, Target::Unreachable), (peers[0], hop(2)), (peers[1], hop(3)), (peers[2], hop(4))];
        let stand = wanted.map(|(key, target)| in_kernel(&key, &target, &found));
        assert_eq!(stand, [InKernel::AsWanted, InKernel::AsWanted, InKernel::Otherwise(hop(9)), InKernel::Missing]);
        let wanted = wanted.into_iter().map(|(key, _)| key).collect();
        assert_eq!(unwanted(&wanted, &found), Routes::from([(peers[3], hop(9))]));
    }
}

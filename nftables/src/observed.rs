//! What the kernel holds of a table, as far as it is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink::wire::{Attribute, Attributes};

use super::nfnetlink::{self, Error, Nfnetlink};
use super::subnets::Subnets;
use super::table::{INTERVAL, INTERVAL_END, TableFamily};

/// A table of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) sets: BTreeMap<String, ObservedSet>,
    pub(super) chains: BTreeMap<String, ObservedChain>,
}

/// A set of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObservedSet {
    /// Flags and length of the key, bytes.
    pub(super) shape: (u32, u32),
    /// `None` where they are not such as we write.
    pub(super) subnets: Option<Subnets>,
}

/// A chain of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObservedChain {
    pub(super) kind: String,
    pub(super) number: u32,
    pub(super) priority: i32,
    pub(super) policy: u32,
    /// Each rule's comment, in order; "" where it has none.
    pub(super) rules: Vec<String>,
}

/// Asks for a table; `None` when there is none.
pub(super) fn observe(socket: &mut Nfnetlink, family: TableFamily, name: &str) -> Result<Option<Observed>, Error> {
    let of_table = |kind: u16| vec![Attribute::text(kind, name)];
    let tables = socket.dump(family as u8, nfnetlink::GET_TABLE, &[])?;
    if !tables.iter().any(|(_, table)| Attributes(table).text(1) == Some(name)) {
        return Ok(None);
    }
    let mut observed = Observed::default();
    for (_, chain) in socket.dump(family as u8, nfnetlink::GET_CHAIN, &[])? {
        let chain = Attributes(&chain);
        if chain.text(1) == Some(name)
            && let Some(chain_name) = chain.text(3)
        {
            observed.chains.insert(chain_name.to_owned(), read_chain(chain));
        }
    }
    for (chain, comment) in comments(socket, family, name)? {
        if let Some(chain) = observed.chains.get_mut(&chain) {
            chain.rules.push(comment);
        }
    }
    for (_, set) in socket.dump(family as u8, nfnetlink::GET_SET, &of_table(1))? {
        let set = Attributes(&set);
        if let (Some(set_name), Some(key)) = (set.text(2), set.be32(5)) {
            let shape = (set.be32(3).unwrap_or_default(), key);
            let subnets = if shape.0 == INTERVAL { subnets(socket, family, name, set_name)? } else { None };
            observed.sets.insert(set_name.to_owned(), ObservedSet { shape, subnets });
        }
    }
    Ok(Some(observed))
}

/// Of each rule of a table, in order: its chain, and its comment, "" where it has none.
pub(super) fn comments(
    socket: &mut Nfnetlink,
    family: TableFamily,
    table: &str,
) -> Result<Vec<(String, String)>, Error> {
    let all = socket.dump(family as u8, nfnetlink::GET_RULE, &[Attribute::text(1, table)])?;
    let rules = all.iter().map(|(_, rule)| Attributes(rule)).filter(|rule| rule.text(1) == Some(table));
    let read = |rule: Attributes<'_>| Some((rule.text(2)?.to_owned(), comment(rule).unwrap_or_default().to_owned()));
    Ok(rules.filter_map(read).collect())
}

/// NFTA_CHAIN_HOOK 4 {NFTA_HOOK_HOOKNUM 1, _PRIORITY 2}, _POLICY 5, _TYPE 7.
fn read_chain(chain: Attributes<'_>) -> ObservedChain {
    let hook = chain.inside(4);
    ObservedChain {
        kind: chain.text(7).unwrap_or_default().to_owned(),
        number: hook.be32(1).unwrap_or(u32::MAX),
        priority: hook.be32(2).unwrap_or_default().cast_signed(),
        policy: chain.be32(5).unwrap_or(u32::MAX),
        rules: Vec::new(),
    }
}

/// A rule's comment, in NFTA_RULE_USERDATA 7.
pub(super) fn comment(rule: Attributes<'_>) -> Option<&str> {
    comment_of(rule.find(7)?)
}

/// The comment in a user's data: libnftnl's attribute 0.
pub(super) fn comment_of(mut userdata: &[u8]) -> Option<&str> {
    while let [kind, length, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*length))?;
        if *kind == 0 {
            return std::str::from_utf8(value).ok().map(|text| text.trim_end_matches('\0'));
        }
        userdata = &rest[value.len()..];
    }
    None
}

/// The elements of a set of intervals, as subnets; `None` where they are none.
pub(super) fn subnets(
    socket: &mut Nfnetlink,
    family: TableFamily,
    table: &str,
    set: &str,
) -> Result<Option<Subnets>, Error> {
    let mut bounds = BTreeSet::new();
    let of_set = [Attribute::text(1, table), Attribute::text(2, set)];
    for (_, part) in socket.dump(family as u8, nfnetlink::GET_ELEMENTS, &of_set)? {
        for (_, element) in Attributes(&part).inside(3) {
            let element = Attributes(element);
            let is_end = element.be32(3).unwrap_or_default() & INTERVAL_END != 0;
            let Some(address) = element.inside(1).find(1).and_then(address) else { return Ok(None) };
            // An end comes before the beginning of what follows it closely.
            bounds.insert((address, !is_end));
        }
    }
    Ok(pair(&bounds))
}

/// Bounds become subnets, unless there is one without its other end or with another size.
fn pair(bounds: &BTreeSet<(IpAddr, bool)>) -> Option<Subnets> {
    let mut subnets = Vec::new();
    let mut open: Option<IpAddr> = None;
    for (address, begins) in bounds {
        match (open.take(), *begins) {
            (None, true) => open = Some(*address),
            (Some(first), false) => {
                subnets.push(subnet(first, Some(*address))?);
            }
            // rbtree sets dump an extra interval end at address 0; ignore it.
            (None, false) if address.is_unspecified() => {}
            (None, false) | (Some(_), true) => return None,
        }
    }
    if let Some(first) = open {
        subnets.push(subnet(first, None)?);
    }
    Some(subnets.into_iter().collect())
}

/// The subnet from `first` up to but not including `behind`.
fn subnet(first: IpAddr, behind: Option<IpAddr>) -> Option<IpNetwork> {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let (bits, top) = if first.is_ipv4() { (32, 1u128 << 32) } else { (128, 0) };
    let size = behind.map_or(top, number).wrapping_sub(number(first));
    let host = u8::try_from(if size == 0 { bits } else { size.trailing_zeros() }).ok()?;
    let network = IpNetwork::new(first, u8::try_from(bits).ok()?.checked_sub(host)?).ok()?;
    let fits = network.network() == first && super::table::behind(network) == behind;
    fits.then_some(network)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::behind;

    fn bounds(subnets: &[&str]) -> BTreeSet<(IpAddr, bool)> {
        let subnets = subnets.iter().map(|text| text.parse::<IpNetwork>().unwrap());
        subnets
            .flat_map(|subnet| [Some((subnet.network(), true)), behind(subnet).map(|end| (end, false))])
            .flatten()
            .collect()
    }

    #[test]
    fn bounds_are_read_as_the_subnets_that_they_were_written_for() {
        for subnets in [
            &["10.244.0.0/24", "10.244.1.0/24", "172.31.0.1/32", "172.31.0.2/32", "224.0.0.0/4"][..],
            &["240.0.0.0/4"],
            &["fd00:10:244::/64", "fd00:10:244:1::/64", "fd31::1/128", "ff00::/8"],
            &[],
        ] {
            let read = pair(&bounds(subnets)).unwrap();
            assert_eq!(read.iter().map(|subnet| subnet.to_string()).collect::<Vec<_>>(), subnets);
        }
    }

    #[test]
    fn bounds_that_make_no_subnets_are_not_ours() {
        let mut lone = bounds(&["10.244.0.0/24"]);
        lone.insert(("10.244.9.0".parse().unwrap(), false));
        assert_eq!(pair(&lone), None);
        let odd = [("10.0.0.1".parse().unwrap(), true), ("10.0.0.9".parse().unwrap(), false)];
        assert_eq!(pair(&odd.into_iter().collect()), None);
    }
}
